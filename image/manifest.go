package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Version is crak's own.
const Version = "0.1.0"

// Format is the version of the image format that is written, and the newest that is read.
const Format = 1

const (
	manifestFile = "manifest.json"
	groupFile    = "group.json"
	indexFile    = "pages.idx"
	pagesFile    = "pages.bin"
)

// Manifest is what an image says of itself: the file manifest.json. Commit fills in what
// it says of the format, the time, the sequence number and the files.
type Manifest struct {
	Format   int       `json:"format"`
	Crak     string    `json:"crak"`     // version of the crak that wrote it
	Checksum string    `json:"checksum"` // SHA-256 of this file with this value empty
	Created  time.Time `json:"created"`
	Program  string    `json:"program"`
	Root     Pid       `json:"root"`
	Sequence int       `json:"sequence,omitempty"` // 0: in a directory of the user's choice

	Host       Host        `json:"host"`
	Options    SaveOptions `json:"options"`
	Statistics Statistics  `json:"statistics"`
	Files      []FileSum   `json:"files"`
}

// Host is the machine that an image was made on, as far as a restart depends on it.
type Host struct {
	Kernel      string   `json:"kernel"`  // uname -r
	Machine     string   `json:"machine"` // uname -m
	Hostname    string   `json:"hostname"`
	CPUFeatures []string `json:"cpu_features"` // names as in /proc/cpuinfo
	XFeatures   uint64   `json:"xfeatures"`    // XCR0: states in the signal frames
	XSaveSize   uint32   `json:"xsave_size"`   // bytes, for those states
	VDSOSum     string   `json:"vdso_sum"`     // SHA-256 of the vDSO
}

// SaveOptions are the choices of the user that shaped the image.
type SaveOptions struct {
	SelfContained bool `json:"self_contained"`
	Compress      bool `json:"compress"`
}

// Statistics say how the checkpoint went. Commit fills in the bytes and frames.
type Statistics struct {
	PauseNs     int64  `json:"pause_ns"` // the longest any member stood still
	TotalNs     int64  `json:"total_ns"` // from the request until the image was on disk
	RawBytes    uint64 `json:"raw_bytes"`
	StoredBytes uint64 `json:"stored_bytes"`
	Frames      uint64 `json:"frames"`
}

// FileSum is a file of the image as it must be. The sum of pages.bin is empty: its frames
// have their own.
type FileSum struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// NewerError is an image of a format that this crak does not know.
type NewerError struct {
	Format int
	Crak   string // version that wrote it
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("format %d, written by crak %.40q: this is crak %s, which reads formats up to %d",
		e.Format, e.Crak, Version, Format)
}

// encode renders the manifest with its checksum.
func (m *Manifest) encode() ([]byte, error) {
	m.Checksum = ""
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	sum := sha256.Sum256(text)
	return bytes.Replace(text, []byte(emptyChecksum), []byte(`"checksum": "`+hex.EncodeToString(sum[:])+`"`), 1), nil
}

const emptyChecksum = `"checksum": ""`

// decodeManifest reads manifest.json and checks all that it says of itself.
func decodeManifest(text []byte) (*Manifest, error) {
	// The format first: another one may have other fields.
	var head struct {
		Format int    `json:"format"`
		Crak   string `json:"crak"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, wordJSON(err)
	}
	if head.Format > Format {
		return nil, &NewerError{head.Format, head.Crak}
	}
	if head.Format < 1 {
		return nil, fmt.Errorf("format: %d: not 1 or more", head.Format)
	}
	m := new(Manifest)
	if err := decodeJSON(text, m); err != nil {
		return nil, err
	}
	filled := `"checksum": "` + m.Checksum + `"`
	if len(m.Checksum) != 2*sha256.Size || bytes.Count(text, []byte(filled)) != 1 {
		return nil, errors.New("checksum: not a SHA-256")
	}
	sum := sha256.Sum256(bytes.Replace(text, []byte(filled), []byte(emptyChecksum), 1))
	if hex.EncodeToString(sum[:]) != m.Checksum {
		return nil, errors.New("damaged: SHA-256 is not its checksum")
	}
	return m, m.check()
}

// check wants each other file of the image named once.
func (m *Manifest) check() error {
	names := []string{groupFile, indexFile, pagesFile}
	if len(m.Files) != len(names) {
		return fmt.Errorf("files: %d, not %d", len(m.Files), len(names))
	}
	for i, f := range m.Files {
		if f.Name != names[i] {
			return fmt.Errorf("files[%d].name: %.40q: not %q", i, f.Name, names[i])
		}
		if f.Size < 0 {
			return fmt.Errorf("files[%d].size: %d", i, f.Size)
		}
	}
	return nil
}

// file is the entry of a file that check has seen.
func (m *Manifest) file(name string) FileSum {
	for _, f := range m.Files {
		if f.Name == name {
			return f
		}
	}
	panic("image: manifest without " + name)
}

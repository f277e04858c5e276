package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Version is the version of crak.
const Version = "0.1.0"

// Format is the version of the image format that crak writes, and the newest that it reads.
const Format = 2

const (
	manifestFile  = "manifest.json"
	groupFile     = "group.json"
	processesFile = "processes.json" // since format 2; format 1 has the processes in group.json
	indexFile     = "pages.idx"
	pagesFile     = "pages.bin"
)

// Manifest describes an image: the file manifest.json. Commit fills in the format, the time, the sequence number and the
// files.
type Manifest struct {
	Format   int       `json:"format"`
	Crak     string    `json:"crak"`     // version of the crak that wrote it
	Checksum string    `json:"checksum"` // SHA-256 of this file with this value empty
	Created  time.Time `json:"created"`
	Program  string    `json:"program"`
	Root     Pid       `json:"root"`
	Sequence int       `json:"sequence,omitempty"` // 0: the user chose the name

	Host       Host        `json:"host"`
	Options    SaveOptions `json:"options"`
	Statistics Statistics  `json:"statistics"`
	Files      []FileSum   `json:"files"`
}

// Host describes the machine where an image was made: the properties that a restart depends on.
type Host struct {
	Kernel      string   `json:"kernel"`  // uname -r
	Machine     string   `json:"machine"` // uname -m
	Hostname    string   `json:"hostname"`
	CPUFeatures []string `json:"cpu_features"` // names as in /proc/cpuinfo
	XFeatures   uint64   `json:"xfeatures"`    // XCR0: state components in the signal frames
	XSaveSize   uint32   `json:"xsave_size"`   // bytes, for those states
	VDSOSum     string   `json:"vdso_sum"`     // SHA-256 of the vDSO
}

// SaveOptions are the options of the user that affect the content of an image.
type SaveOptions struct {
	SelfContained bool `json:"self_contained"`
	WithFiles     bool `json:"with_files,omitempty"`
	Compress      bool `json:"compress"`
}

// Statistics are measurements of the checkpoint. Commit fills in the bytes and frames.
type Statistics struct {
	PauseNs     int64  `json:"pause_ns"` // the longest time that any process was stopped
	TotalNs     int64  `json:"total_ns"` // from the request until the image was on disk
	RawBytes    uint64 `json:"raw_bytes"`
	StoredBytes uint64 `json:"stored_bytes"`
	Frames      uint64 `json:"frames"`
}

// FileSum is the expected size and sum of a file of the image. The sum of pages.bin is empty: each frame has its own sum.
type FileSum struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// NewerError reports an image whose format is newer than this crak.
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

// decodeManifest decodes and checks manifest.json.
func decodeManifest(text []byte) (*Manifest, error) {
	// Check the format first: another format may have other fields.
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

// check returns an error unless each of the other files of the image is listed once.
func (m *Manifest) check() error {
	names := []string{groupFile, processesFile, indexFile, pagesFile}
	if m.processesInGroup() {
		names = slices.Delete(names, 1, 2)
	}
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

// processesInGroup tells whether group.json has the processes.
func (m *Manifest) processesInGroup() bool { return m.Format == 1 }

// file returns the entry of a file. Preconditions: check has succeeded.
func (m *Manifest) file(name string) FileSum {
	for _, f := range m.Files {
		if f.Name == name {
			return f
		}
	}
	panic("image: manifest without " + name)
}

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vector is an image with one fault, and the error for it.
type vector struct {
	name  string
	spoil func(k *kit)
	want  string // the error after `image "…": `
}

// kit is a good image, to which a test adds a fault.
type kit struct {
	t        *testing.T
	dir      string
	manifest *Manifest
	group    *Group
	frames   []Frame
}

func newKit(t *testing.T) *kit {
	k := &kit{t: t, dir: goodImage(t, t.TempDir(), Options{Compress: true, Workers: 1})}
	i, err := Open(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	k.manifest, k.group = i.Manifest, i.Group
	for f, err := range i.Frames("") {
		if err != nil {
			t.Fatal(err)
		}
		own := *f
		own.Runs = append([]Run(nil), f.Runs...)
		k.frames = append(k.frames, own)
	}
	return k
}

func (k *kit) path(name string) string { return filepath.Join(k.dir, name) }

func (k *kit) read(name string) []byte {
	text, err := os.ReadFile(k.path(name))
	k.must(err)
	return text
}

func (k *kit) write(name string, text []byte) { k.must(os.WriteFile(k.path(name), text, 0o600)) }

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// seal writes a file and updates the manifest to match it.
func (k *kit) seal(name string, text []byte) {
	k.write(name, text)
	sum := sha256.Sum256(text)
	for i := range k.manifest.Files {
		if f := &k.manifest.Files[i]; f.Name == name {
			f.Size = int64(len(text))
			if name != pagesFile {
				f.SHA256 = hex.EncodeToString(sum[:])
			}
		}
	}
	k.sealManifest()
}

func (k *kit) sealManifest() {
	text, err := k.manifest.encode()
	k.must(err)
	k.write(manifestFile, text)
}

func (k *kit) sealGroup() {
	shared := *k.group
	shared.Processes = nil
	text, err := encodeJSON(&shared)
	k.must(err)
	k.seal(groupFile, text)
	var lines []byte
	for i := range k.group.Processes {
		text, err := encodeJSON(&k.group.Processes[i])
		k.must(err)
		lines = append(lines, text...)
	}
	k.seal(processesFile, lines)
}

func (k *kit) sealFrames() {
	var b strings.Builder
	x := newIndexWriter(&b)
	for i := range k.frames {
		k.must(x.frame(&k.frames[i]))
	}
	k.must(x.end())
	k.seal(indexFile, []byte(b.String()))
}

// frame returns the first frame with a codec.
func (k *kit) frame(c Codec) *Frame {
	for i := range k.frames {
		if k.frames[i].Codec == c {
			return &k.frames[i]
		}
	}
	k.t.Fatalf("no frame with codec %v", c)
	return nil
}

// inGroup makes a vector that changes only group.json.
func inGroup(name string, change func(g *Group), want string) vector {
	return vector{name, func(k *kit) { change(k.group); k.sealGroup() }, "group.json: " + want}
}

// inProcess makes a vector that changes only processes.json.
func inProcess(name string, change func(g *Group), want string) vector {
	v := inGroup(name, change, "")
	v.want = "processes.json: " + want
	return v
}

// inFrames makes a vector that changes only pages.idx.
func inFrames(name string, change func(k *kit), want string) vector {
	return vector{name, func(k *kit) { change(k); k.sealFrames() }, "pages.idx: " + want}
}

func TestBroken(t *testing.T) {
	for _, all := range [][]vector{brokenFiles, brokenManifests, brokenGroups, brokenIndexes, brokenFrames} {
		for _, v := range all {
			t.Run(strings.ReplaceAll(v.name, " ", "-"), func(t *testing.T) {
				k := newKit(t)
				pages := fmt.Sprint(k.manifest.file(pagesFile).Size)
				group := fmt.Sprint(k.manifest.file(groupFile).Size)
				processes := fmt.Sprint(k.manifest.file(processesFile).Size)
				v.spoil(k)
				err := openAndVerify(k.dir)
				if err == nil {
					t.Fatal("no error")
				}
				got := strings.TrimPrefix(err.Error(), `image "`+k.dir+`": `)
				got = strings.NewReplacer(pages, "PAGES", group, "GROUP", processes, "PROCESSES").Replace(got)
				if got != v.want {
					t.Errorf("error:\n got %s\nwant %s", got, v.want)
				}
			})
		}
	}
}

func openAndVerify(path string) error {
	i, err := Open(path)
	if err != nil {
		return err
	}
	defer i.Close()
	return i.Verify(context.Background(), nil)
}

// TestKit checks that sealing the unchanged parts of the kit again leaves a valid image.
func TestKit(t *testing.T) {
	k := newKit(t)
	k.sealGroup()
	k.sealFrames()
	if err := openAndVerify(k.dir); err != nil {
		t.Error(err)
	}
}

package fd

import (
	"encoding/json"
	"testing"

	"crak.dev/crak/image"
)

func TestRelocate(t *testing.T) {
	var to Relocations
	for _, text := range []string{"/home=/data", "/home/ann/=/scratch/ann/", "/a/file=/b/other", "/=/host"} {
		if err := to.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, want string }{
		{"/home/bob/x", "/data/bob/x"},
		{"/home/ann/x", "/scratch/ann/x"},
		{"/home/anna/x", "/data/anna/x"},
		{"/home", "/data"},
		{"/home (deleted)", "/data (deleted)"},
		{"/home/ann/x (deleted)", "/scratch/ann/x (deleted)"},
		{"/a/file", "/b/other"},
		{"/a/file2", "/host/a/file2"},
		{"/data/x", "/host/data/x"},
		{"relative/home", "relative/home"},
		{"", ""},
	} {
		if have := c.path; to.path(&have) != (c.path != c.want) || have != c.want {
			t.Errorf("%q: %q, want %q", c.path, have, c.want)
		}
	}
}

func TestRelocationRefused(t *testing.T) {
	var to Relocations
	for _, text := range []string{"", "/a", "a=/b", "/a=b", "=/b", "/a="} {
		if to.Set(text) == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if err := to.Set("/a=/b"); err != nil {
		t.Fatal(err)
	}
	if to.Set("/a/=/c") == nil {
		t.Error("two choices for one path are accepted")
	}
}

func marshal(t *testing.T, record any) json.RawMessage {
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRelocateRecords relocates every kind of record that has a path.
func TestRelocateRecords(t *testing.T) {
	file := image.File{Path: "/old/x"}
	group := &image.Group{
		Processes: []image.Process{{Cwd: "/old", Executable: file, Mappings: []image.Mapping{{File: &file}, {}}}},
		Descriptions: []image.Description{
			{Kind: "regular", Record: marshal(t, Regular{File: file})},
			{Kind: "directory", Record: marshal(t, Directory{File: file})},
			{Kind: "path", Record: marshal(t, PathOnly{File: file})},
		},
		Objects: []image.Object{
			{Kind: "pipe", Record: marshal(t, PipeObject{File: &file})},
			{Kind: "unix_socket", Record: marshal(t, UnixSocket{Name: &UnixName{Path: "x", Directory: "/old"}, PeerName: &UnixName{Path: "/old/y"}})},
		},
	}
	to := Relocations{{"/old", "/new"}}
	if err := to.Apply(group); err != nil {
		t.Fatal(err)
	}
	p := group.Processes[0]
	if p.Cwd != "/new" || p.Executable.Path != "/new/x" || p.Mappings[0].File.Path != "/new/x" {
		t.Errorf("process: %+v", p)
	}
	for _, d := range group.Descriptions {
		var r struct {
			File image.File `json:"file"`
		}
		if err := json.Unmarshal(d.Record, &r); err != nil || r.File.Path != "/new/x" || !r.File.Relocated {
			t.Errorf("%s: %s (%v)", d.Kind, d.Record, err)
		}
	}
	if r, err := pipeRecord(group.Objects[0]); err != nil || r.File.Path != "/new/x" {
		t.Errorf("pipe: %+v (%v)", r, err)
	}
	r, err := decode[UnixSocket](group.Objects[1].Record)
	if err != nil || r.Name.full() != "/new/x" || r.PeerName.full() != "/new/y" {
		t.Errorf("Unix socket: %+v (%v)", r, err)
	}
}

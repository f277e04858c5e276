package fd_test

import (
	"encoding/json"
	"strings"
	"testing"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// attached returns the system calls by which a member attaches a description that it has as descriptor 7.
func attached(t *testing.T, d image.Description) string {
	t.Helper()
	set := &program.Set{}
	a := &fd.Attach{Builder: set.Build("pid 412", 9), Member: &image.Process{Pid: 412}, Descriptors: []image.Descriptor{{Fd: 7}}, First: true,
		Placed: func(id image.DescriptionID) program.Arg { return program.Const(100 + int(id)) }}
	if err := a.Attach(d); err != nil {
		t.Fatal(err)
	}
	var all []string
	for i := range a.Program.Instructions {
		_, text, kept := strings.Cut(set.Text(&a.Program.Instructions[i]), " := ")
		if !kept {
			text = set.Text(&a.Program.Instructions[i])
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// TestReferences checks that what descriptions and objects refer to must be in the image.
func TestReferences(t *testing.T) {
	memfd := image.Description{ID: 1, Kind: "memfd", Record: json.RawMessage(`{"memory":1}`)}
	pipe := image.Object{ID: 1, Kind: "pipe", Record: json.RawMessage(`{"capacity":4096}`)}
	good := image.Group{Descriptions: []image.Description{memfd}, Memory: []image.MemoryObject{{ID: 1}}, Objects: []image.Object{pipe}}
	if err := fd.CheckReferences(&good); err != nil {
		t.Error(err)
	}
	for want, g := range map[string]image.Group{
		"description 1: refers to memory object 1": {Descriptions: good.Descriptions},
		`object 1: kind "barrel" is not known`:     {Objects: []image.Object{{ID: 1, Kind: "barrel"}}},
		`description 1: kind "bell" is not known`:  {Descriptions: []image.Description{{ID: 1, Kind: "bell"}}},
		"object 1: record of a pipe":               {Objects: []image.Object{{ID: 1, Kind: "pipe"}}},
	} {
		if err := fd.CheckReferences(&g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if list := fd.CheckGroup(&g, &fd.Env{}); !strings.Contains(list.Error(), want) {
			t.Errorf("obstacles %v, want %q", list, want)
		}
	}
}

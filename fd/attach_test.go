package fd_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// attached returns the system calls by which a member attaches a description that it has as descriptor 7.
func attached(t *testing.T, d image.Description) string {
	t.Helper()
	set := &program.Set{}
	a := &fd.Attach{Builder: set.Build("pid 412"), Member: &image.Process{Pid: 412}, Descriptors: []image.Descriptor{{Fd: 7}}, First: true,
		Placed: func(id image.DescriptionID) program.Arg { return program.Const(100 + int(id)) }}
	if err := a.Attach(d); err != nil {
		t.Fatal(err)
	}
	return calls(set, a)
}

// calls are the system calls that were appended to a program.
func calls(set *program.Set, a *fd.Attach) string {
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

// TestHandOver checks that the first member that has a description makes it, and that the others receive it.
func TestHandOver(t *testing.T) {
	set := &program.Set{}
	d := image.Description{ID: 1, Kind: "pidfd", Flags: unix.O_RDWR | unix.O_NONBLOCK, Record: json.RawMessage(`{"pid":413}`)}
	for first, want := range map[bool]string{
		true:  "pidfd_open(413, 2048) dup(101) dup3(r0, 101, O_CLOEXEC) = 101 dup3(r0, 7, 0) = 7 close(r0) sendmsg(r1, data, 16384) = 1 sendmsg(r1, data, 16384) = 1",
		false: "fcntl(101, 1030, 0) close(r0) recvmsg(101, data, 0x40000000) = 1 dup3(r0, 101, O_CLOEXEC) = 101 dup3(r0, 7, 0) = 7 close(r0)",
	} {
		set.Slots = 0
		a := &fd.Attach{Builder: set.Build("pid 412"), Member: &image.Process{Pid: 412}, Descriptors: []image.Descriptor{{Fd: 7}}, First: first, Others: 2,
			Exist: func() {}, Placed: func(id image.DescriptionID) program.Arg { return program.Const(100 + int(id)) }}
		if err := a.Attach(d); err != nil {
			t.Fatal(err)
		}
		if got := regexp.MustCompile(`data\+\w+`).ReplaceAllString(calls(set, a), "data"); got != want {
			t.Errorf("first %v: %s, want %s", first, got, want)
		}
	}
}

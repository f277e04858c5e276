package fd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// pipesOf is what a restart makes pipes from: their objects and their content.
func pipesOf(p picture) *fd.Env {
	env := &fd.Env{Content: func(id image.ObjectID, size int) ([]byte, error) {
		for _, c := range p.InFlight {
			if c.Object == id {
				return c.Content, nil
			}
		}
		return make([]byte, size), nil
	}}
	env.Know(&image.Group{Objects: p.Objects, Descriptions: p.Descriptions})
	return env
}

// TestPipe checks that the copy has the bytes, and that the original still has them.
func TestPipe(t *testing.T) {
	r, w := pipeOf(t)
	must(t, second(w.WriteString("in flight")))
	p := captured(t, ourselves())
	env := pipesOf(p)
	newRead, newWrite := made(t, p.description(t, r), env), made(t, p.description(t, w), env)
	env.CloseObjects()
	must(t, second(newWrite.WriteString(", and more")))
	newWrite.Close()
	for f, want := range map[*os.File]string{newRead: "in flight, and more", r: "in flight"} {
		buffer := make([]byte, 64)
		if n, err := f.Read(buffer); err != nil || string(buffer[:n]) != want {
			t.Errorf("read %q, %v, want %q", buffer[:n], err, want)
		}
	}
	if n, err := unix.Read(int(newRead.Fd()), make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("after the last write end was closed: %d bytes, %v", n, err)
	}
}

// TestFifo checks that a FIFO is found by its path.
func TestFifo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	must(t, unix.Mkfifo(path, 0o600))
	f := openedAt(t, path, unix.O_RDWR|unix.O_NONBLOCK)
	must(t, second(f.WriteString("by name")))
	p := captured(t, ourselves())
	must(t, second(f.Read(make([]byte, 64))))
	d := p.description(t, f)
	env := pipesOf(p)
	got := made(t, d, env)
	buffer := make([]byte, 64)
	if n, err := unix.Read(int(got.Fd()), buffer); err != nil || string(buffer[:n]) != "by name" {
		t.Errorf("read %q, %v", buffer[:n], err)
	}
	must(t, second(f.WriteString("somebody else's")))
	if _, err := fd.Make(d, pipesOf(p)); err == nil || !strings.Contains(err.Error(), "has written to this FIFO") {
		t.Errorf("over somebody else's bytes: %v", err)
	}
	must(t, os.Remove(path))
	if got := fd.Check(d, pipesOf(p)); len(got) != 1 || !strings.Contains(got.Error(), "mkfifo") {
		t.Errorf("gone: %v", got)
	}
}

// TestDamagedPipes makes pipes from records that no checkpoint writes.
func TestDamagedPipes(t *testing.T) {
	for _, o := range []image.Object{
		{ID: 1, Kind: "pipe"},
		{ID: 1, Kind: "socket", Record: json.RawMessage("{}")},
		{ID: 1, Kind: "pipe", Record: json.RawMessage(`{"capacity":-1}`)},
		{ID: 1, Kind: "pipe", Record: json.RawMessage(`{"capacity":4096,"packets":[4,-4]}`)},
		{ID: 1, Kind: "pipe", Size: 8, Record: json.RawMessage(`{"capacity":4096,"packets":[4,5]}`)},
		{ID: 1, Kind: "pipe", Size: 8, Record: json.RawMessage(`{"capacity":8192,"slots":[{"size":4},{"size":5}]}`)},
		{ID: 1, Kind: "pipe", Record: json.RawMessage(`{"capacity":8192,"slots":[{"size":4},{"size":-4}]}`)},
		{ID: 1, Kind: "pipe", Size: 1 << 40, Record: json.RawMessage(`{"capacity":4096}`)},
		{ID: 1, Kind: "pipe", Size: 1 << 20, Record: json.RawMessage(`{"capacity":4096}`)},
		{ID: 1, Kind: "pipe", Record: json.RawMessage(`{"capacity":65536,"file":{"path":"/dev/null"}}`)},
		{ID: 2, Kind: "pipe", Record: json.RawMessage(`{"capacity":4096}`)},
	} {
		p := picture{Table: new(fd.Table)}
		p.Objects = []image.Object{o}
		d := image.Description{ID: 1, Kind: "pipe_end", Object: 1}
		if f, err := fd.Make(d, pipesOf(p)); err == nil {
			t.Errorf("%s %s: made %s", o.Kind, o.Record, f.Name())
		}
		fd.Check(d, pipesOf(p))
	}
}

package fd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestFailedRestartLeavesFiles puts a file back, and lets the restart fail afterwards, or in the middle: the file has its content, size,
// mode and times again.
func TestFailedRestartLeavesFiles(t *testing.T) {
	damaged := errors.New("damaged")
	for name, fill := range map[string]struct {
		pieces []string // of a page each
		err    error
	}{
		"afterwards":    {[]string{"old", "content"}, nil},
		"in the middle": {[]string{"old"}, damaged},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			content := make([]byte, 3*image.PageSize)
			copy(content, "new")
			copy(content[2*image.PageSize:], "end")
			if err := os.WriteFile(path, content, 0o604); err != nil {
				t.Fatal(err)
			}
			var before, after unix.Stat_t
			if err := unix.Stat(path, &before); err != nil {
				t.Fatal(err)
			}
			file := image.File{Path: path, Device: before.Dev, Inode: before.Ino, Mode: unix.S_IFREG | 0o640, Size: 2 * image.PageSize, MtimeNs: 1}
			record := mustJSON(t, fd.Regular{File: file})
			g := &image.Group{
				Descriptions: []image.Description{{ID: 1, Kind: "regular", Flags: unix.O_RDWR, Record: record}},
				Objects: []image.Object{{ID: 1, Kind: "file_copy", Size: uint64(file.Size),
					Record: mustJSON(t, fd.FileCopy{File: file, Attributes: &fd.Attributes{UID: before.Uid, GID: before.Gid}})}},
			}
			env := &fd.Env{Fill: func(_ image.ObjectID, fn func([]image.Run, []byte) error) error {
				for i, text := range fill.pieces {
					page := make([]byte, image.PageSize)
					copy(page, text)
					if err := fn([]image.Run{{Start: uint64(i) * image.PageSize, Length: image.PageSize}}, page); err != nil {
						return err
					}
				}
				return fill.err
			}}
			if list := fd.CheckGroup(g, env); len(list) > 0 {
				t.Fatal(list)
			}
			made, err := fd.MakeAll(fd.Order(g), env)
			if err != nil {
				t.Fatal(err)
			}
			defer made[0].Close()
			defer env.Close()
			if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
				t.Fatalf("before the commit: %q, %v", now, err)
			}
			if err := env.Commit(); !errors.Is(err, fill.err) {
				t.Fatalf("commit: %v", err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now[:3]) != "old" || len(now) != 2*image.PageSize {
				t.Fatalf("after the commit: %d bytes, %q, %v", len(now), now[:3], err)
			}
			env.Abandon()
			if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
				t.Fatalf("after Abandon: %q, %v", now, err)
			}
			if err := unix.Stat(path, &after); err != nil {
				t.Fatal(err)
			}
			if after.Mode != before.Mode || after.Mtim != before.Mtim || after.Ino != before.Ino {
				t.Errorf("after Abandon: %+v, not %+v", after, before)
			}
		})
	}
}

func mustJSON(t *testing.T, v any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(fmt.Errorf("%+v: %w", v, err))
	}
	return text
}

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// list returns the names in a directory.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSequence(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "app.412")
	for range 3 {
		goodImage(t, dir, Options{})
	}
	if got, want := list(t, program), []string{"1", "2", "3", "latest"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if target, _ := os.Readlink(filepath.Join(program, "latest")); target != "3" {
		t.Errorf("latest -> %q, want 3", target)
	}
	// The number of the newest image is not used again after the image is removed.
	if err := os.RemoveAll(filepath.Join(program, "3")); err != nil {
		t.Fatal(err)
	}
	if got := goodImage(t, dir, Options{}); filepath.Base(got) != "4" {
		t.Errorf("%s, want 4", got)
	}
	// An image is found without latest, too.
	if err := os.Remove(filepath.Join(program, "latest")); err != nil {
		t.Fatal(err)
	}
	i, err := Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if i.Manifest.Sequence != 4 || filepath.Base(i.Path) != "4" {
		t.Errorf("sequence %d at %s, want 4", i.Manifest.Sequence, i.Path)
	}
}

func TestPermissions(t *testing.T) {
	path := goodImage(t, t.TempDir(), Options{})
	for name, want := range map[string]fs.FileMode{
		"..": 0o700, ".": 0o700, manifestFile: 0o600, groupFile: 0o600, indexFile: 0o600, pagesFile: 0o600,
	} {
		st, err := os.Lstat(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s: mode %o, want %o", name, st.Mode().Perm(), want)
		}
	}
}

func TestOutput(t *testing.T) {
	dir := t.TempDir()
	output := filepath.Join(dir, "mine")
	if got := goodImage(t, "", Options{Output: output}); got != output {
		t.Errorf("path %s, want %s", got, output)
	}
	if got := list(t, dir); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("left: %v", got)
	}
	_, err := Create("", Options{Output: output})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("second one: %v, want %v", err, fs.ErrExist)
	}
}

// TestOutputTaken creates the output name while the writer writes the image.
func TestOutputTaken(t *testing.T) {
	dir := t.TempDir()
	output := filepath.Join(dir, "mine")
	w, err := Create("", Options{Output: output})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := os.Mkdir(output, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(Manifest{Root: 412}, goodGroup()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want %v", err, fs.ErrExist)
	}
	w.Abort()
	if got := list(t, dir); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("left: %v", got)
	}
}

// TestSweep checks that a sweep keeps the hidden directory of a running writer, and removes that of a writer that was killed.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "app.412", ".1.partial")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, pagesFile), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := Create(dir, Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Abort()
	second, err := Create(dir, Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Abort()
	if alive.place.sequence != 1 || second.place.sequence != 2 {
		t.Errorf("sequences %d and %d, want 1 and 2", alive.place.sequence, second.place.sequence)
	}
	if _, err := alive.Commit(Manifest{Root: 412}, goodGroup()); err != nil {
		t.Error(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	elsewhere := t.TempDir()
	for _, v := range []struct {
		name  string
		setup func(dir string) error
		want  string
	}{
		{"missing directory", os.Remove,
			`new image: open directory DIR: no such file or directory; ` + chooseAnother},
		{"symlinked program directory", func(dir string) error { return os.Symlink(elsewhere, filepath.Join(dir, "app.412")) },
			`new image: open directory DIR/app.412: not a directory; ` + chooseAnother},
		{"file for program directory", func(dir string) error { return os.WriteFile(filepath.Join(dir, "app.412"), nil, 0o600) },
			`new image: open directory DIR/app.412: not a directory; ` + chooseAnother},
		{"latest is a directory", func(dir string) error { return os.MkdirAll(filepath.Join(dir, "app.412", "latest"), 0o700) },
			`new image: DIR/app.412/latest: crak needs this name for a symlink: is not a symlink`},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := v.setup(dir); err != nil {
				t.Fatal(err)
			}
			w, err := Create(dir, Options{Program: "app", Pid: 412})
			if err == nil {
				w.Abort()
				t.Fatal("no error")
			}
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != v.want {
				t.Errorf("error:\n got %s\nwant %s", got, v.want)
			}
		})
	}
	if got := list(t, elsewhere); len(got) != 0 {
		t.Errorf("written behind a symlink: %v", got)
	}
}

// TestCreateDenied: the error of a directory that may not be written to says whose it is.
// TestAbortElsewhere: while an image is made, the directory above is replaced by a symbolic link. Abort removes nothing behind it.
func TestAbortElsewhere(t *testing.T) {
	dir := t.TempDir()
	above, aside, other := filepath.Join(dir, "above"), filepath.Join(dir, "aside"), filepath.Join(dir, "other")
	for _, path := range []string{above, other, filepath.Join(other, "app.412")} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w, err := Create(above, Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(above, aside), os.Symlink(other, above)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if left := list(t, aside); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if there := list(t, other); len(there) != 1 {
		t.Errorf("the directory of another program is gone: %q", there)
	}
}

func TestCreateDenied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	dir, err := os.MkdirTemp("", "crak") // every user can reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, o := range []Options{{Program: "app", Pid: 412}, {Output: filepath.Join(dir, "mine")}, {Output: filepath.Join(dir, "in", "mine")}} {
		mode := fs.FileMode(0o755)
		if o.Output == filepath.Join(dir, "in", "mine") {
			mode = 0o700
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		err := asUser(65534, func() error { _, err := Create(dir, o); return err })
		want := fmt.Sprintf("permission denied: the directory %s belongs to user 0 and has mode %04o, and crak is user ", dir, mode)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), chooseAnother) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// asUser runs fn on a thread that has another effective user ID. The thread ends with it.
func asUser(uid int, fn func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
			result <- e
			return
		}
		result <- fn()
	}()
	return <-result
}

func TestDirName(t *testing.T) {
	for comm, want := range map[string]string{
		"app": "app.5", "a b/c\n": "a_b_c_.5", "": "_.5", "..": "_...5", "-x": "_-x.5", "größe": "größe.5", "\xff": "_.5",
		"a\u009b1m": "a_1m.5", "left\u202eright": "left_right.5",
	} {
		if got := DirName(comm, 5); got != want {
			t.Errorf("DirName(%q): %q, want %q", comm, got, want)
		}
	}
}

// unwanted returns a notice function that fails the test.
func unwanted(t *testing.T) func(string) {
	return func(text string) { t.Errorf("notice: %s", text) }
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	if _, err := Newest(dir, unwanted(t)); !errors.Is(err, ErrNone) {
		t.Errorf("nothing: %v", err)
	}
	older := goodImage(t, dir, Options{})
	want := goodImage(t, dir, Options{})
	if err := os.MkdirAll(filepath.Join(dir, "other.7", ".1.partial"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := Newest(dir, unwanted(t))
	if err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if err := os.Truncate(filepath.Join(want, manifestFile), 0); err != nil {
		t.Fatal(err)
	}
	var damaged *Error
	if _, err := Newest(dir, unwanted(t)); !errors.As(err, &damaged) {
		t.Errorf("damaged one: %v", err)
	}
	if err := os.Remove(filepath.Join(want, manifestFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Newest(dir, unwanted(t)); !errors.As(err, &damaged) || errors.Is(err, ErrNone) {
		t.Errorf("without its manifest: %v", err)
	}
	if err := os.RemoveAll(want); err != nil {
		t.Fatal(err)
	}
	if got, err := Newest(dir, unwanted(t)); err != nil || got != older {
		t.Errorf("latest leads nowhere: %s, %v; want %s", got, err, older)
	}
}

// TestDiskFull writes to a file system of one megabyte.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	w, err := Create(dir, Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for range 4 {
		if err = w.PutSync(ProcessSpace(412), goodContent[0].runs, pattern); err != nil {
			break
		}
	}
	want := `image "` + filepath.Join(dir, "app.412", "1") + `": pages.bin: no space left on device; make room, or ` + chooseAnother
	if err == nil || err.Error() != want || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
	if _, again := w.Commit(Manifest{}, goodGroup()); again == nil || again.Error() != want {
		t.Errorf("commit: %v", again)
	}
	w.Abort()
	if got := list(t, dir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// TestPutAfterFailure lets fill fail once. All later calls return this error and read nothing.
func TestPutAfterFailure(t *testing.T) {
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	gone := errors.New("pid 412: gone")
	err = w.PutSync(ProcessSpace(412), goodContent[0].runs, func([]byte, []Run) error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("first: %v, want %v", err, gone)
	}
	err = w.Put(ProcessSpace(412), goodContent[0].runs, func([]byte, []Run) error {
		t.Error("called after a failure")
		return nil
	})
	if !errors.Is(err, gone) {
		t.Errorf("second: %v, want %v", err, gone)
	}
}

// TestCommitChecks checks that Commit refuses an image that Open would refuse.
func TestCommitChecks(t *testing.T) {
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Put(ProcessSpace(412), []Run{{Start: 0x10000, Length: 0x2000}}, pattern); err != nil {
		t.Fatal(err)
	}
	want := `image "` + w.Path() + `": pages.idx: frame 0: run 0: 0x10000-0x12000: not inside a private mapping of the process`
	if _, err := w.Commit(Manifest{Root: 412}, goodGroup()); err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

// TestCommitRoot checks that Commit refuses another root in the manifest than in the group, as Open does.
func TestCommitRoot(t *testing.T) {
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	want := `image "` + w.Path() + `": group.json: root: 412, and 5 in manifest.json`
	if _, err := w.Commit(Manifest{Root: 5}, goodGroup()); err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

// TestCommitManySmall checks that Open accepts a committed image with many small records.
func TestCommitManySmall(t *testing.T) {
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	g := goodGroup()
	for i := range 3000 {
		g.Processes[0].Timers = append(g.Processes[0].Timers, PosixTimer{ID: int32(i + 1)})
		g.Processes[0].Descriptors = append(g.Processes[0].Descriptors, Descriptor{Fd: 10 + i, Description: 7})
	}
	path, err := w.Commit(Manifest{Root: 412}, g)
	if err != nil {
		t.Fatal(err)
	}
	i, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	i.Close()
}

// TestTotalIncludesCommit: Commit adds its own time to TotalNs, which the caller has set just before. The disk is slow. Only the syncs of
// the manifest, which has TotalNs, and of the directory cannot count.
func TestTotalIncludesCommit(t *testing.T) {
	const slow = 20 * time.Millisecond
	counted := 0
	defer func() { syncFile = (*os.File).Sync }()
	syncFile = func(f *os.File) error {
		if filepath.Base(f.Name()) != manifestFile {
			counted++
		}
		time.Sleep(slow)
		return f.Sync()
	}
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	var confirmed time.Time // Commit asks after the syncs
	w.options.Confirm = func() error { confirmed = time.Now(); return nil }
	begun := time.Now()
	path, err := w.Commit(Manifest{Root: 412, Statistics: Statistics{TotalNs: 1}}, goodGroup())
	if err != nil {
		t.Fatal(err)
	}
	i, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	total, all := time.Duration(i.Manifest.Statistics.TotalNs), confirmed.Sub(begun)
	if least := time.Duration(counted) * slow; counted == 0 || total < least || total > all-slow {
		t.Errorf("%v; %d slow syncs are to count, of %v in all", total, counted, all)
	}
}

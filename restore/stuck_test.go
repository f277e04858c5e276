package restore

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// timeoutVariable sets timeoutStuck, also of process 1 of a new PID namespace.
const timeoutVariable = "CRAK_TEST_STUCK_TIMEOUT"

// Requests of linux/fuse.h.
const (
	fuseLookup  = 1
	fuseForget  = 2
	fuseGetattr = 3
	fuseSetattr = 4
	fuseUnlink  = 10
	fuseOpen    = 14
	fuseRead    = 15
	fuseInit    = 26
	fuseCreate  = 35
)

// A fileServer answers the requests of a FUSE file system with one file, until it comes to one that it does not answer any more.
type fileServer struct {
	fd     int
	silent atomic.Int32 // the request that is not answered
}

type fuseAttr struct {
	Ino, Size, Blocks, Atime, Mtime, Ctime                                          uint64
	Atimensec, Mtimensec, Ctimensec, Mode, Nlink, Uid, Gid, Rdev, BlockSize, Unused uint32
}

type fuseEntry struct {
	Node, Generation, EntryValid, AttrValid, Nanoseconds uint64
	Attr                                                 fuseAttr
}

const (
	mountedFile = 2
	madeFile    = 3 // after fuseCreate
)

// mountFile mounts a file system with the file "file" on a directory. A file "gone" can be made there.
func mountFile(t *testing.T, dir string) *fileServer {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Mount("hangs", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
	}
	if err != nil {
		t.Skipf("root: no FUSE: %v", err)
	}
	s := &fileServer{fd: fd}
	t.Cleanup(func() {
		unix.Unmount(dir, unix.MNT_FORCE)
		unix.Unmount(dir, unix.MNT_DETACH)
		unix.Close(fd)
	})
	go s.serve()
	return s
}

func (s *fileServer) serve() {
	request, made := make([]byte, 1<<17), false
	for {
		n, err := unix.Read(s.fd, request)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil || n < 40 {
			return
		}
		opcode, unique, node := binary.NativeEndian.Uint32(request[4:]), binary.NativeEndian.Uint64(request[8:]), binary.NativeEndian.Uint64(request[16:])
		if opcode == fuseForget || s.silent.Load() == int32(opcode) {
			continue
		}
		attr := fuseAttr{Ino: node, Size: image.PageSize, Mode: unix.S_IFDIR | 0o755, Nlink: 1, BlockSize: image.PageSize}
		switch {
		case node == mountedFile || opcode == fuseLookup:
			attr.Ino, attr.Mode = mountedFile, unix.S_IFREG|0o644
		case node == madeFile || opcode == fuseCreate:
			attr.Ino, attr.Mode, attr.Size = madeFile, unix.S_IFREG|0o644, 0
		}
		var body any
		failed := int32(0)
		switch opcode {
		case fuseInit:
			body = [16]uint32{7, 31, 0, 0, 0, image.PageSize}
		case fuseLookup:
			body = fuseEntry{Node: mountedFile, Attr: attr}
			if strings.HasPrefix(string(request[40:n]), "gone") {
				attr.Ino, attr.Size = madeFile, 0
				body = fuseEntry{Node: madeFile, Attr: attr}
				if !made {
					failed, body = -int32(unix.ENOENT), [0]byte{}
				}
			}
		case fuseCreate:
			made = true
			body = struct {
				fuseEntry
				Open [2]uint64
			}{fuseEntry: fuseEntry{Node: madeFile, Attr: attr}}
		case fuseGetattr, fuseSetattr:
			body = struct {
				Valid, Nanoseconds uint64
				Attr               fuseAttr
			}{Attr: attr}
		case fuseOpen:
			body = [2]uint64{}
		case fuseRead:
			body = [image.PageSize]byte{}
		default:
			failed, body = -int32(unix.ENOSYS), [0]byte{}
		}
		answer, _ := binary.Append(make([]byte, 16), binary.NativeEndian, body)
		binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
		binary.NativeEndian.PutUint32(answer[4:], uint32(failed))
		binary.NativeEndian.PutUint64(answer[8:], unique)
		unix.Write(s.fd, answer)
	}
}

// TestHangingFileSystem: a file of the program is on a file system that does not answer any more. The restart ends within a bound,
// says why, and leaves no process.
func TestHangingFileSystem(t *testing.T) {
	t.Setenv(timeoutVariable, "1s")
	was := timeoutStuck
	timeoutStuck = time.Second
	t.Cleanup(func() { timeoutStuck = was })
	for _, mode := range modes(t) {
		for what, silent := range map[string]int32{"look": fuseGetattr, "open": fuseOpen, "read": fuseRead} {
			t.Run(string(mode)+"/"+what, func(t *testing.T) {
				dir := t.TempDir()
				s := mountFile(t, dir)
				g := handmade.Group(aPid(t), me())
				const at = handmade.CodeAt + 1<<20
				file := handmade.FileAt(filepath.Join(dir, "file"))
				p := &g.Processes[0]
				p.Mappings = append(p.Mappings, image.Mapping{Start: at, End: at + image.PageSize, Prot: unix.PROT_READ | unix.PROT_WRITE, Kind: image.MappingFile, File: &file})
				path := writeMore(t, g, says, func(w *image.Writer, p *image.Process) error {
					return w.Put(image.ProcessSpace(p.Pid), []image.Run{{Start: at, Length: image.PageSize}}, func(dst []byte, _ []image.Run) error {
						dst[0] = 1
						return nil
					})
				})
				s.silent.Store(silent)
				done := make(chan outcome, 1)
				go func() { done <- run(path, mode) }()
				select {
				case o := <-done:
					if o.err == nil || !strings.Contains(o.err.Error(), "no progress: crak has waited for ") {
						t.Errorf("outcome %+v", o)
					}
				case <-time.After(30 * time.Second):
					t.Error("the restart does not end")
				}
				unix.Unmount(dir, unix.MNT_FORCE) // the kernel ends what waits for an answer
				noStray(t, g.Root)
			})
		}
	}
}

// TestHangsInUndo: a restart has made a file, and fails. The file system does not answer when crak removes the file. The restart ends all the
// same, and says so.
func TestHangsInUndo(t *testing.T) {
	t.Setenv(timeoutVariable, "1s")
	was := timeoutStuck
	timeoutStuck = time.Second
	t.Cleanup(func() { timeoutStuck = was })
	dir := t.TempDir()
	s := mountFile(t, dir)
	s.silent.Store(fuseUnlink)
	g := handmade.Group(aPid(t), me())
	describe(t, g, 3, filepath.Join(dir, "gone"))
	g.Processes[0].Timers = []image.PosixTimer{{Clock: 99}}
	path := writeImage(t, g, says)
	done := make(chan outcome, 1)
	go func() { done <- runWith(Options{Image: path, Pids: modes(t)[0], Files: fd.Rewind, Force: true}) }()
	select {
	case o := <-done:
		if o.err == nil || !strings.Contains(o.err.Error(), "timer_create") {
			t.Errorf("outcome %+v", o)
		}
		if !slices.ContainsFunc(o.notices, func(text string) bool { return strings.Contains(text, "not undone") }) {
			t.Errorf("notices %q", o.notices)
		}
	case <-time.After(20 * time.Second):
		t.Error("the restart does not end")
	}
	unix.Unmount(dir, unix.MNT_FORCE) // the kernel ends what waits for an answer
	noStray(t, g.Root)
}

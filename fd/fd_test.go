package fd_test

import (
	"encoding/binary"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

// ourselves is this test process as a member. Its initiator is the thread that runs the test.
func ourselves() *fd.Member {
	return &fd.Member{Pid: os.Getpid(), Inside: os.Getpid(), Proc: "/proc/self", Calls: makeCalls}
}

func makeCalls(calls []abi.Call, data []byte) ([]int64, error) {
	results := make([]int64, len(calls))
	for i, c := range calls {
		for a := range c.Args {
			switch {
			case c.Relative&abi.Data(a) != 0:
				c.Args[a] += uint64(uintptr(unsafe.Pointer(unsafe.SliceData(data))))
			case c.Relative&abi.Value(a) != 0:
				c.Args[a] = uint64(binary.NativeEndian.Uint32(data[c.Args[a]:]))
			case c.Relative&abi.Result(a) != 0:
				c.Args[a] = uint64(results[c.Args[a]])
			}
		}
		r, _, errno := syscall.Syscall6(uintptr(c.Number), uintptr(c.Args[0]), uintptr(c.Args[1]), uintptr(c.Args[2]),
			uintptr(c.Args[3]), uintptr(c.Args[4]), uintptr(c.Args[5]))
		results[i] = int64(r)
		if errno != 0 {
			results[i] = -int64(errno)
		}
	}
	return results, nil
}

// picture is the result of a capture, with the descriptions by descriptor number.
type picture struct {
	*fd.Table
	of map[int]image.Description
}

func captured(t *testing.T, m *fd.Member) picture {
	t.Helper()
	p := picture{Table: new(fd.Table), of: make(map[int]image.Description)}
	descriptors, err := fd.Capture(m, p.Table)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptors {
		p.of[d.Fd] = p.Descriptions[d.Description-1]
	}
	return p
}

func (p picture) description(t *testing.T, f *os.File) image.Description {
	t.Helper()
	d, ok := p.of[int(f.Fd())]
	if !ok {
		t.Fatalf("%s: fd %d is not in the picture; obstacles: %v", f.Name(), f.Fd(), p.Obstacles)
	}
	return d
}

// obstacleOf is the obstacle about the descriptor of a file, or "".
func (p picture) obstacleOf(f *os.File) string {
	for _, o := range p.Obstacles {
		if o.Where == "fd "+strconv.Itoa(int(f.Fd())) {
			return o.Error()
		}
	}
	return ""
}

// memory makes the memory objects of a picture, content included, as a restart does.
func (p picture) memory(t *testing.T) func(image.MemoryID) (*os.File, error) {
	made := make(map[image.MemoryID]*os.File)
	return func(id image.MemoryID) (*os.File, error) {
		if made[id] != nil {
			return made[id], nil
		}
		f, err := (&fd.Env{Notice: func(s string) { t.Log(s) }}).MakeUnlinked(p.Memory[id-1])
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { f.Close() })
		for _, c := range p.Contents() {
			if c.Memory == id {
				copyContent(t, c, f)
			}
		}
		made[id] = f
		return f, nil
	}
}

func copyContent(t *testing.T, c fd.Content, to *os.File) {
	t.Helper()
	from, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := to.ReadFrom(io.NewSectionReader(from, 0, c.Size)); err != nil {
		t.Fatal(err)
	}
}

func made(t *testing.T, d image.Description, env *fd.Env) *os.File {
	t.Helper()
	f, err := fd.Make(d, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// shown is what /proc shows of a description, except the inode number and the mount.
func shown(t *testing.T, f *os.File) string {
	t.Helper()
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{link}
	for line := range strings.Lines(string(info)) {
		if !strings.HasPrefix(line, "ino:") && !strings.HasPrefix(line, "mnt_id:") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

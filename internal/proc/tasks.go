package proc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

// Path is /proc/PID/name; pid 0 stands for the reader itself.
func Path(pid int, name string) string {
	who := "self"
	if pid != 0 {
		who = strconv.Itoa(pid)
	}
	return "/proc/" + who + "/" + name
}

// Read parses the file /proc/PID/name. It puts the path in front of a parser's error.
func Read[T any](pid int, name string, parse func(io.Reader) (T, error)) (T, error) {
	path := Path(pid, name)
	f, err := openRaw(path)
	if err != nil {
		var none T
		return none, err
	}
	defer f.close()
	v, err := parse(f)
	if err != nil {
		return v, fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	return v, nil
}

// rawFile is an open file. os.File would make five more system calls for each file, and programs are frozen while these files
// are read.
type rawFile struct {
	fd    int
	whole bool // a read that does not fill the buffer has read the end of the file
}

// whole lists files that the kernel makes as one piece (single_open, simple_read_from_buffer). Of other files, such as maps, a read
// can return less than there is.
var whole = map[string]bool{"stat": true, "status": true, "syscall": true, "auxv": true, "limits": true, "oom_score_adj": true, "coredump_filter": true}

func openRaw(path string) (rawFile, error) {
	fd, err := retry.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return rawFile{fd: -1}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return rawFile{fd, whole[filepath.Base(path)]}, nil
}

// ReadFile is os.ReadFile for a file of /proc or another short file.
func ReadFile(path string) ([]byte, error) {
	f, err := openRaw(path)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return readAll(f)
}

// ReadStart reads the first bytes of a file, at most as many as most. A program can make its arguments and its environment as large as its
// memory (PR_SET_MM_MAP of prctl(2)), and the files show all of that.
func ReadStart(path string, most int64) ([]byte, error) {
	f, err := openRaw(path)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return readAll(io.LimitReader(f, most))
}

// readAll is io.ReadAll for short files.
func readAll(r io.Reader) (all []byte, err error) {
	buffer := buffers.Get().(*[4096]byte)
	defer buffers.Put(buffer)
	for {
		n, err := r.Read(buffer[:])
		all = append(all, buffer[:max(n, 0)]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func (f rawFile) close() { unix.Close(f.fd) }

func (f rawFile) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(f.fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0, f.whole && n < len(b):
			return n, io.EOF
		default:
			return n, nil
		}
	}
}

// Tasks lists the TIDs of a process, in order. The list may contain a thread that has exited since.
func Tasks(pid int) ([]int, error) { return numbers(Path(pid, "task")) }

// Fds lists the descriptors of a process, in order.
func Fds(pid int) ([]int, error) { return numbers(Path(pid, "fd")) }

// Pids lists the processes of the reader's PID namespace, in order.
func Pids() ([]int, error) { return numbers("/proc") }

// numbers lists the entries of a directory whose names are numbers.
func numbers(dir string) ([]int, error) {
	d, err := openRaw(dir)
	if err != nil {
		return nil, err
	}
	defer d.close()
	buffer := buffers.Get().(*[4096]byte)
	defer buffers.Put(buffer)
	var names []string
	for {
		n, err := unix.Getdents(d.fd, buffer[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "readdirent", Path: dir, Err: err}
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
	var all []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

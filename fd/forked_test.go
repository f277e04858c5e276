package fd_test

import (
	"encoding/gob"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/internal/abi"
)

// A forked is a child of the test that does nothing but the system calls of the test, as the initiator of a frozen
// member does. It inherits the files of fork from number 4 on. Number 3 is its connection.
type forked struct {
	t   *testing.T
	pid int
	to  *gob.Encoder
	of  *gob.Decoder
}

const (
	forkedVariable = "FD_TEST_FORKED"
	connection     = 3
	inheritedFrom  = 4
)

type order struct {
	Calls []abi.Call
	Data  []byte
}

type answer struct {
	Results []int64
	Data    []byte
}

func fork(t *testing.T, inherited ...*os.File) *forked {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	theirs, ours := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), forkedVariable+"="+strconv.Itoa(inheritedFrom+len(inherited)))
	cmd.ExtraFiles = append([]*os.File{theirs}, inherited...)
	must(t, cmd.Start())
	must(t, theirs.Close())
	conn, err := net.FileConn(ours)
	must(t, err)
	must(t, ours.Close())
	t.Cleanup(func() {
		conn.Close()
		cmd.Wait()
	})
	f := &forked{t: t, pid: cmd.Process.Pid, to: gob.NewEncoder(conn), of: gob.NewDecoder(conn)}
	f.call(unix.SYS_GETPID) // it has executed
	return f
}

// obey is the child. It closes what the test process has leaked to it.
func obey() {
	first, err := strconv.Atoi(os.Getenv(forkedVariable))
	if err != nil || unix.CloseRange(uint(first), math.MaxUint32, 0) != nil {
		os.Exit(1)
	}
	conn := raw(connection)
	of, to := gob.NewDecoder(conn), gob.NewEncoder(conn)
	for {
		var o order
		if of.Decode(&o) != nil {
			return
		}
		o.Data = append(o.Data, 0)
		results, _ := makeCalls(o.Calls, o.Data)
		to.Encode(answer{results, o.Data[:len(o.Data)-1]})
	}
}

// raw is a descriptor without Go's poller, which would open more descriptors.
type raw int

func (r raw) Read(b []byte) (int, error) {
	n, err := unix.Read(int(r), b)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

func (r raw) Write(b []byte) (int, error) { return unix.Write(int(r), b) }

func (f *forked) calls(calls []abi.Call, data []byte) ([]int64, error) {
	if err := f.to.Encode(order{calls, data}); err != nil {
		return nil, err
	}
	var a answer
	if err := f.of.Decode(&a); err != nil {
		return nil, err
	}
	copy(data, a.Data)
	return a.Results, nil
}

// call makes one system call without pointers in the child.
func (f *forked) call(number uint32, args ...uint64) int {
	f.t.Helper()
	c := abi.Call{Number: number}
	copy(c.Args[:], args)
	return f.do(c, nil)
}

func (f *forked) do(c abi.Call, data []byte) int {
	f.t.Helper()
	results, err := f.calls([]abi.Call{c}, data)
	must(f.t, err)
	if results[0] < 0 {
		f.t.Fatalf("system call %d in the child: %v", c.Number, unix.Errno(-results[0]))
	}
	return int(results[0])
}

// open opens a file in the child.
func (f *forked) open(path string, flags int) int {
	f.t.Helper()
	return f.do(abi.Call{Number: unix.SYS_OPEN, Relative: abi.Data(0), Args: [6]uint64{0, uint64(flags), 0o600}}, append([]byte(path), 0))
}

// lock takes a POSIX lock of one byte.
func (f *forked) lock(number int, at byte) {
	f.t.Helper()
	flock := make([]byte, 32)
	flock[0], flock[8], flock[16] = unix.F_WRLCK, at, 1
	f.do(abi.Call{Number: unix.SYS_FCNTL, Relative: abi.Data(2), Args: [6]uint64{uint64(number), unix.F_SETLK}}, flock)
}

func (f *forked) member(seen *fd.Seen) *fd.Member {
	return &fd.Member{
		Pid: f.pid, Inside: f.pid, Proc: fmt.Sprintf("/proc/%d", f.pid),
		Seen: seen, Except: []int{connection}, Calls: f.calls,
	}
}

var (
	pipe2Call = abi.Call{Number: unix.SYS_PIPE2, Relative: abi.Data(0)}
	memfdCall = abi.Call{Number: unix.SYS_MEMFD_CREATE, Relative: abi.Data(0)}
)

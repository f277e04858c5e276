package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

// Credentials are what SO_PEERCRED tells of a Unix socket: the process that called socketpair(2), connect(2) or listen(2) for the
// other end, as the program sees it. Or they are what SCM_CREDENTIALS tells of a message: the process that sent it. The process may have
// ended.
type Credentials struct {
	Pid image.Pid `json:"pid"` // 0: unknown, only for SO_PEERCRED
	UID uint32    `json:"uid"`
	GID uint32    `json:"gid"`
}

func (c *Credentials) same(other *Credentials) bool {
	if c == nil || other == nil {
		return c == other
	}
	return *c == *other
}

// askCredentials asks through the handle: the kernel answers. It returns IDs of the writer's namespaces. If the program is in other ones, the
// initiator asks. Its answer about the user and the group is believed only if the writer is in another user namespace.
func (c *capture) askCredentials(o *open, r *UnixSocket) {
	seen := o.socket.reading.peer
	sameUsers := seen != nil && c.sharesNamespace(o, "user")
	if sameUsers {
		const nobody = math.MaxUint32
		if seen.Uid == nobody { // the socket is not connected
			return
		}
		r.Credentials = &Credentials{0, seen.Uid, seen.Gid}
		if c.sharesNamespace(o, "pid") {
			r.Credentials.Pid = image.Pid(seen.Pid)
			return
		}
	}
	if o.within != nil {
		return
	}
	const size = 12 // of struct ucred; its length follows
	buffer := make([]byte, 16)
	binary.NativeEndian.PutUint32(buffer[size:], size)
	call := abi.Call{Number: unix.SYS_GETSOCKOPT, Relative: abi.Data(3) | abi.Data(4),
		Args: [6]uint64{uint64(o.fd), unix.SOL_SOCKET, unix.SO_PEERCRED, 0, size}}
	c.questions.to(o.member).Ask(call, buffer, func(result int64, data []byte) {
		n := binary.NativeEndian
		pid := image.Pid(n.Uint32(data))
		switch {
		case result != 0 || pid <= 0:
		case sameUsers:
			r.Credentials.Pid = pid
		default:
			r.Credentials = &Credentials{pid, n.Uint32(data[4:]), n.Uint32(data[8:])}
		}
	})
}

// as makes system calls about Unix sockets in a process with the given credentials, because the kernel records who makes them.
// The process shares crak's descriptors and has a copy of its memory. It has the PID of a member that crak has not made yet, or of a
// process that has ended. If this PID is in use or cannot be chosen, crak makes the calls itself if the credentials are its own, and the kernel
// records crak. Otherwise the process has another PID. If crak may not become the user, it makes the calls itself, too. A crak that
// may, such as root's, never does that: the user would have a socket that seems to be root's.
func (e *Env) as(who *Credentials, calls ...rawCall) error {
	if who != nil {
		become := who.UID != uint32(os.Geteuid()) || who.GID != uint32(os.Getegid())
		errno, err := unix.Errno(0), errPidUsed
		if who.Pid != 0 {
			errno, err = e.inProcess(who.Pid, who, become, calls)
		}
		if err != nil && err != errCannotBecome && become {
			errno, err = e.inProcess(0, who, become, calls)
		}
		switch {
		case err == nil:
			return errnoOrNil(errno)
		case become && err != errCannotBecome:
			return fmt.Errorf("in a process of UID %d, GID %d: %w", who.UID, who.GID, err)
		}
	}
	return errnoOrNil(makeCalls(&calls[0], len(calls)))
}

var (
	errPidUsed      = errors.New("crak cannot make a process with its PID")
	errCannotBecome = errors.New("crak cannot change its user and group IDs")
	errKilled       = errors.New("the process was killed")
)

// inProcess makes system calls in a process with a given PID, or any PID if it is 0. The process has the IDs of who if become is set, and no
// other groups.
func (e *Env) inProcess(pid image.Pid, who *Credentials, become bool, calls []rawCall) (unix.Errno, error) {
	if !e.SamePids && pid != 0 {
		return 0, errPidUsed
	}
	runtime.LockOSThread()
	child, errno := callIn(int32(pid), become, uintptr(who.UID), uintptr(who.GID), &calls[0], len(calls))
	runtime.UnlockOSThread()
	switch {
	case errno != 0 && pid != 0:
		return 0, errPidUsed
	case errno != 0:
		return 0, errno
	}
	var status unix.WaitStatus
	_, err := unix.Wait4(child, &status, unix.WALL, nil)
	for err == unix.EINTR {
		_, err = unix.Wait4(child, &status, unix.WALL, nil)
	}
	switch {
	case err != nil:
		return 0, err
	case !status.Exited(): // a process of the user may kill it
		return 0, errKilled
	case status.ExitStatus() == cannotBecome:
		return 0, errCannotBecome
	}
	return unix.Errno(status.ExitStatus()), nil
}

func errnoOrNil(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

const cannotBecome = 255 // exit status of a process that could not change its IDs

// cloneArguments is struct clone_args of linux/sched.h, version 1.
type cloneArguments struct {
	flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize uint64
}

// rawCall is a system call.
type rawCall struct {
	number uintptr
	args   [4]uintptr
	want   uintptr // the result
}

// makeCalls makes system calls until one fails. Fewer bytes than wanted are EAGAIN: the buffer of a stream is full.
//
//go:nosplit
//go:norace
func makeCalls(first *rawCall, n int) unix.Errno {
	for i := 0; i < n; i++ {
		c := (*rawCall)(unsafe.Add(unsafe.Pointer(first), uintptr(i)*unsafe.Sizeof(*first)))
		result, _, errno := unix.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], 0, 0)
		if errno != 0 {
			return errno
		}
		if result != c.want {
			return unix.EAGAIN
		}
	}
	return 0
}

// callIn makes a process with a given PID, or any PID if it is 0. The process makes system calls and exits with their errno. It is a copy of one thread of a Go
// program, so it must call nothing of the Go runtime.
//
//go:nosplit
//go:norace
func callIn(pid int32, become bool, uid, gid uintptr, calls *rawCall, n int) (int, unix.Errno) {
	arguments := cloneArguments{flags: unix.CLONE_FILES, setTid: uint64(uintptr(unsafe.Pointer(&pid))), setTidSize: 1}
	if pid == 0 {
		arguments.setTid, arguments.setTidSize = 0, 0
	}
	child, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&arguments)), unsafe.Sizeof(arguments), 0)
	if errno != 0 || child != 0 {
		return int(child), errno
	}
	if become {
		_, _, errno = unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0) // SO_PEERGROUPS would show those of crak
		if errno == 0 {
			_, _, errno = unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid)
		}
		if errno == 0 {
			_, _, errno = unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid)
		}
		if errno != 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, cannotBecome, 0, 0)
		}
	}
	errno = makeCalls(calls, n)
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
	}
}

// connectAs is connectNow by a process with the given credentials. SO_PEERCRED shows this process to the listening side.
func (e *Env) connectAs(who *Credentials, socket int, to addressed) error {
	if err := unix.SetNonblock(socket, true); err != nil {
		return err
	}
	a, length := to.address()
	e.address = &a // the kernel gets its address as a number, so it must not be on the stack
	err := e.as(who, rawCall{unix.SYS_CONNECT, [4]uintptr{uintptr(socket), uintptr(unsafe.Pointer(e.address)), length}, 0})
	return errors.Join(err, unix.SetNonblock(socket, false))
}

// listenAs is listen(2) by a process with the given credentials. SO_PEERCRED shows this process to the clients.
func (m *madeUnix) listenAs(who *Credentials, backlog int, e *Env) error {
	return os.NewSyscallError("listen", e.as(who, rawCall{unix.SYS_LISTEN, [4]uintptr{m.file.Fd(), uintptr(backlog)}, 0}))
}

package resident

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/proc"
)

// ErrNoAnswer means that the program did not answer an order in time. ErrEnded means that it has ended. ErrRefused means that its resident has
// not accepted the secret.
var (
	ErrNoAnswer = errors.New("the program does not answer")
	ErrEnded    = errors.New("the program has ended")
	ErrRefused  = errors.New("its resident refuses orders: only a process that may trace the program may give them")
)

// timeoutWire bounds each exchange with a resident that has connected: if the program is stopped, no answer comes. timeoutAll
// bounds all exchanges together.
const (
	timeoutWire = 30 * time.Second
	timeoutAll  = 2 * time.Minute
)

// A Listener is the socket to which a resident connects.
type Listener struct {
	// Early, which may be nil, are questions that Accept sends together with the proof. The resident answers them when every thread is
	// parked. The Conn reads the answers before those of later requests, or in Settle.
	Early *Questions

	key  *Key
	fd   int
	file *os.File // of fd; the runtime waits for it
	name uint64

	interrupted atomic.Bool
}

// backlog is the number of connections that may wait for Accept. It is large so that other processes, which connect only to be
// refused, do not keep the resident from connecting. The kernel reduces it to net.core.somaxconn.
const backlog = 4096

// Listen opens a socket with a random name. By the key the writer proves that it may trace the program.
func Listen(key *Key) (*Listener, error) {
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return nil, err
	}
	name := binary.LittleEndian.Uint64(random[:])
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	address := &unix.SockaddrUnix{Name: fmt.Sprintf("@%s%016x", abi.SocketPrefix, name)}
	if err := unix.Bind(fd, address); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("socket %s: bind: %w", address.Name, err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("socket %s: listen: %w", address.Name, err)
	}
	return &Listener{key: key, fd: fd, file: os.NewFile(uintptr(fd), "resident listener"), name: name}, nil
}

// Close closes the socket. Connections that were accepted stay open.
func (l *Listener) Close() { l.file.Close() }

// Interrupt makes Accept fail, now and later. It may be called while another goroutine is in Accept, and after Close.
func (l *Listener) Interrupt() {
	l.interrupted.Store(true)
	raw, err := l.file.SyscallConn()
	if err == nil {
		// This wakes Accept. A later accept4 without blocking fails with EAGAIN, as if nothing had happened.
		raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}

// queuedSignal is the kernel's siginfo_t of a signal sent with a value (SI_QUEUE).
type queuedSignal struct {
	signo, errno, code int32
	members            int32 // abi.OrderMembers
	pid                int32
	uid                uint32
	value              uint64
	blocked            int32     // abi.OrderBlocked
	ip                 uint32    // abi.OrderIP
	arguments          [2]uint32 // abi.OrderArguments
	_                  [80]byte
}

// Order sends an order to one live thread of pid.
func (l *Listener) Order(pid, tid int, order int32) error { return send(pid, tid, order, l.name) }

// Reap has one live thread of pid wait for a child of CRAK that has ended. child is its PID in the PID namespace of pid.
func Reap(pid, tid, child int) error { return send(pid, tid, abi.OrderReap, uint64(child)) }

// send sends the freeze signal with an order to one live thread of pid. The order includes the system call in which the thread is
// blocked: once the signal has interrupted the call, its number is lost.
func send(pid, tid int, order int32, value uint64) error {
	info := queuedSignal{signo: abi.FreezeSignal, errno: order, code: -1 /* SI_QUEUE */, blocked: -1, value: value, members: int32(busypoll.Waits())}
	if s, err := proc.Read(pid, fmt.Sprintf("task/%d/syscall", tid), proc.Syscall); err == nil && !s.Running {
		info.blocked = int32(s.Number)
		info.ip = uint32(s.PC)
		sum := sumOf(s.Args)
		info.arguments = [2]uint32{uint32(sum), uint32(sum >> 32)}
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(pid), uintptr(tid), abi.FreezeSignal,
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("pid %d thread %d: signal: %w", pid, tid, errno)
	}
	return nil
}

// sumOf returns the checksum of a system call's arguments (ABI_SUM).
func sumOf(args [6]uint64) (sum uint64) {
	for _, a := range args {
		sum = (sum ^ a) * abi.Sum
	}
	return sum
}

// Accept waits for the resident of pid, proves to it that the writer may trace the process, and reads its HELLO. The error is
// ErrNoAnswer if the resident does not connect in time, and ErrEnded if the process has ended. Accept closes connections of other
// processes.
func (l *Listener) Accept(pid int, timeout time.Duration) (*Conn, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("pid %d: %w", pid, ErrEnded)
	}
	if err != nil {
		process = -1 // readable cannot detect the end of the process then
	} else {
		defer unix.Close(process)
	}
	for deadline := time.Now().Add(timeout); ; {
		if err := l.readable(process, deadline); err != nil {
			return nil, fmt.Errorf("pid %d: %w", pid, err)
		}
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if l.interrupted.Load() {
			if err == nil {
				unix.Close(fd)
			}
			return nil, fmt.Errorf("pid %d: accept: interrupted", pid)
		}
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("pid %d: accept: %w", pid, err)
		}
		if !isProcess(fd, pid) {
			unix.Close(fd)
			if time.Now().After(deadline) { // other processes may connect all the time
				return nil, fmt.Errorf("pid %d: %w", pid, ErrNoAnswer)
			}
			continue
		}
		return handshake(fd, pid, l.key, l.Early)
	}
}

// Handshake makes a Conn of a connected socket: it sends the resident's secret and reads the resident's HELLO. The Conn owns the
// socket.
func Handshake(fd, pid int, secret []byte) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("pid %d: socket: %w", pid, err)
	}
	return handshake(fd, pid, &Key{secret: secret}, nil)
}

// handshake owns a socket that does not block.
func handshake(fd, pid int, key *Key, early *Questions) (*Conn, error) {
	c := &Conn{fd: fd, file: os.NewFile(uintptr(fd), "resident"), Pid: pid, timeout: timeoutWire, early: early}
	err := c.prove(key)
	if err == nil {
		err = c.readHello()
	}
	if err != nil {
		c.Close()
		if isEnding(pid) {
			err = fmt.Errorf("pid %d: %w", pid, ErrEnded)
		}
		return nil, err
	}
	return c, nil
}

// readable waits for a connection or the end of the process.
func (l *Listener) readable(process int, deadline time.Time) error {
	fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}, {Fd: int32(process), Events: unix.POLLIN}}
	for looks := busypoll.Limit(); ; looks-- {
		_, err := unix.Poll(fds, 0)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case fds[0].Revents != 0: // also after the deadline: crak itself may not have run for a while
			return nil
		case fds[1].Revents != 0:
			return ErrEnded
		case time.Now().After(deadline):
			return ErrNoAnswer
		}
		if looks > 0 {
			busypoll.Yield()
			continue
		}
		if err := l.sleep(deadline); err != nil {
			return err
		}
	}
}

// intervalEnd is the time between two looks whether the process has ended.
const intervalEnd = 10 * time.Millisecond

// sleep waits for a connection until the deadline, but not longer than intervalEnd. No thread of the writer is blocked meanwhile.
func (l *Listener) sleep(deadline time.Time) error {
	until := time.Now().Add(intervalEnd)
	if deadline.Before(until) {
		until = deadline
	}
	if err := l.file.SetReadDeadline(until); err != nil {
		return fmt.Errorf("wait for its resident: %w", err)
	}
	raw, err := l.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for its resident: %w", err)
	}
	err = raw.Read(func(uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for its resident: %w", err)
	}
	return nil
}

// isProcess reports whether the peer is process pid and has the writer's user ID. If the writer is root, the user ID may differ.
func isProcess(fd, pid int) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == pid && (os.Geteuid() == 0 || int(peer.Uid) == os.Geteuid())
}

package fd

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// The bytes that wait in a pseudo-terminal can be read only by taking them out. So the initiator of the member with the master moves
// them into a pipe by splice(2), copies the pipe by tee(2), and writes the bytes back, all in one list of system calls. The initiator
// carries out the whole list, even if the writer is killed meanwhile, so nothing is lost. With splice(2) the list need not know how many
// bytes there are.
//
// A list opens the slave and two pipes, and closes them at its end. It must know the numbers of their descriptors in advance. So the
// writer first sends a list that only opens and closes them.

// A ptyList is a list of system calls about one pseudo-terminal.
type ptyList struct {
	callList

	master, flags                     uint64 // the master's number and status flags
	slave, from, to, copyFrom, copyTo uint64 // numbers that are free in the member: of the slave, and of the pipes
	locked, packet                    bool
	exclusive                         bool   // nobody may open the slave
	own                               uint64 // if so: the member's own descriptor of the slave
}

const ptyPipeSize = 1 << 20 // bytes: 256 buffers, each for one line

func (l *ptyList) integer(n uint32) uint64 { return l.put(binary.NativeEndian.AppendUint32(nil, n)) }

// open opens the slave and the pipes.
func (l *ptyList) open() (peer int, pipes uint64) {
	l.call(unix.SYS_FCNTL, 0, l.master, unix.F_SETFL, l.flags|unix.O_NONBLOCK)
	if l.locked {
		l.call(unix.SYS_IOCTL, abi.Data(2), l.master, unix.TIOCSPTLCK, l.integer(0))
	}
	if l.exclusive {
		l.call(unix.SYS_IOCTL, 0, l.own, unix.TIOCNXCL)
	}
	peer = l.call(unix.SYS_IOCTL, 0, l.master, tiocgptpeer, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK)
	pipes = l.put(make([]byte, 16))
	l.call(unix.SYS_PIPE2, abi.Data(0), pipes, unix.O_NONBLOCK|unix.O_CLOEXEC)
	l.call(unix.SYS_PIPE2, abi.Data(0), pipes+8, unix.O_NONBLOCK|unix.O_CLOEXEC)
	l.call(unix.SYS_FCNTL, 0, l.to, unix.F_SETPIPE_SZ, ptyPipeSize)
	l.call(unix.SYS_FCNTL, 0, l.copyTo, unix.F_SETPIPE_SZ, ptyPipeSize)
	if l.packet {
		l.call(unix.SYS_IOCTL, abi.Data(2), l.master, unix.TIOCPKT, l.integer(0))
	}
	return peer, pipes
}

func (l *ptyList) close() {
	if l.exclusive {
		l.call(unix.SYS_IOCTL, 0, l.own, unix.TIOCEXCL)
	}
	if l.packet {
		l.call(unix.SYS_IOCTL, abi.Data(2), l.master, unix.TIOCPKT, l.integer(1))
	}
	if l.locked {
		l.call(unix.SYS_IOCTL, abi.Data(2), l.master, unix.TIOCSPTLCK, l.integer(1))
	}
	l.call(unix.SYS_FCNTL, 0, l.master, unix.F_SETFL, l.flags)
	for _, fd := range []uint64{l.slave, l.from, l.to, l.copyFrom, l.copyTo} {
		l.call(unix.SYS_CLOSE, 0, fd)
	}
}

func (l *ptyList) modes(termios []byte) {
	l.call(unix.SYS_IOCTL, abi.Data(2), l.slave, tcsets2, l.put(termios))
}

// take moves what waits in a terminal into the pipe. If the terminal is in canonical mode, each call moves one line at most.
func (l *ptyList) take(terminal uint64, times int) {
	for range times {
		l.call(unix.SYS_SPLICE, 0, terminal, 0, l.to, 0, 1<<16, unix.SPLICE_F_NONBLOCK)
	}
}

// copyPipe copies the pipe's content into the data. It closes the pipe for writing.
func (l *ptyList) copyPipe() (read int, at uint64) {
	at = l.put(make([]byte, ptyQueue))
	l.call(unix.SYS_TEE, 0, l.from, l.copyTo, ptyPipeSize, unix.SPLICE_F_NONBLOCK)
	l.call(unix.SYS_CLOSE, 0, l.to)
	return l.call(unix.SYS_READ, abi.Data(1), l.copyFrom, at, ptyQueue), at
}

// copied is the result of copyPipe.
func (l *ptyList) copied(read int64, at uint64) []byte {
	return l.data[at : at+uint64(min(max(read, 0), ptyQueue))]
}

// giveBack writes a pipe's content to a terminal, so many bytes with each call. A worker of the kernel moves them to the queue of the
// other side. If there is no room, the list waits for the worker.
//
// Preconditions: nobody has the pipe open for writing, so splice(2) returns 0 when all has been written.
func (l *ptyList) giveBack(pipe, terminal uint64, sizes []int) {
	for _, size := range sizes {
		l.call(unix.SYS_SPLICE, abi.WhileFull, pipe, 0, terminal, 0, uint64(size), unix.SPLICE_F_NONBLOCK)
	}
}

// arrived waits until FIONREAD of the slave reports so many bytes: the value, or with abi.Result(3) the result of that call; or as many
// as the queue holds.
func (l *ptyList) arrived(relative uint32, bytes int) {
	l.call(unix.SYS_IOCTL, abi.Data(2)|relative|abi.WhileLess, l.slave, unix.TIOCINQ, l.integer(0), uint64(bytes), ptyFull)
}

// await waits for an event of a terminal.
func (l *ptyList) await(terminal uint64, events int16, milliseconds uint64) {
	poll := binary.NativeEndian.AppendUint32(nil, uint32(terminal))
	poll = binary.NativeEndian.AppendUint16(poll, uint16(events))
	l.call(unix.SYS_POLL, abi.Data(0), l.put(append(poll, 0, 0)), 1, milliseconds)
}

// fresh is an empty list with the same descriptor numbers.
func (l *ptyList) fresh() *ptyList {
	other := *l
	other.callList = callList{}
	return &other
}

// rehearse finds out whether the slave and the pipes can be opened, and whether they get the expected numbers.
func (l *ptyList) rehearse(m *Member) error {
	r := l.fresh()
	peer, pipes := r.open()
	size := r.call(unix.SYS_FCNTL, 0, r.to, unix.F_GETPIPE_SZ)
	other := r.call(unix.SYS_FCNTL, 0, r.copyTo, unix.F_GETPIPE_SZ)
	r.close()
	results, err := r.run(m)
	if err != nil {
		return err
	}
	if results[peer] < 0 {
		return fmt.Errorf("TIOCGPTPEER: %w", unix.Errno(-results[peer]))
	}
	numbers := []uint64{uint64(results[peer])}
	for i := range uint64(4) {
		numbers = append(numbers, uint64(binary.NativeEndian.Uint32(r.data[pipes+4*i:])))
	}
	for i, want := range []uint64{l.slave, l.from, l.to, l.copyFrom, l.copyTo} {
		if numbers[i] != want {
			return fmt.Errorf("descriptor %d, not %d", numbers[i], want)
		}
	}
	if results[size] < ptyPipeSize || results[other] < ptyPipeSize {
		return errors.New("no pipe of 1 MiB (fs.pipe-max-size, fs.pipe-user-pages-soft)")
	}
	return nil
}

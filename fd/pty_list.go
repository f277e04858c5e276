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
	calls []abi.Call
	data  []byte

	master, flags                     uint64 // the master's number and status flags
	slave, from, to, copyFrom, copyTo uint64 // numbers that are free in the member: of the slave, and of the pipes
	locked, packet                    bool
	exclusive                         bool   // nobody may open the slave
	own                               uint64 // if so: the member's own descriptor of the slave
}

const (
	ptyPipeSize = 1 << 20 // bytes: 256 buffers, each for one line
	ptyQueue    = 30000   // bytes that can wait on their way to one side: 4,095, and at most 19,968 on the way there (tty_buffer.c)
)

func (l *ptyList) call(number uint32, relative uint32, args ...uint64) int {
	c := abi.Call{Number: number, Relative: relative}
	copy(c.Args[:], args)
	l.calls = append(l.calls, c)
	return len(l.calls) - 1
}

// put adds data, and returns its offset.
func (l *ptyList) put(data []byte) uint64 {
	at := uint64(len(l.data))
	l.data = append(l.data, data...)
	for len(l.data)%8 != 0 {
		l.data = append(l.data, 0)
	}
	return at
}

func (l *ptyList) integer(n uint32) uint64 { return l.put(binary.NativeEndian.AppendUint32(nil, n)) }

// open opens the slave and the pipes.
func (l *ptyList) open() (peer int, pipes uint64) {
	l.call(unix.SYS_FCNTL, 0, l.master, unix.F_SETFL, l.flags|unix.O_NONBLOCK)
	if l.locked {
		l.call(unix.SYS_IOCTL, 1<<2, l.master, unix.TIOCSPTLCK, l.integer(0))
	}
	if l.exclusive {
		l.call(unix.SYS_IOCTL, 0, l.own, unix.TIOCNXCL)
	}
	peer = l.call(unix.SYS_IOCTL, 0, l.master, tiocgptpeer, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK)
	pipes = l.put(make([]byte, 16))
	l.call(unix.SYS_PIPE2, 1, pipes, unix.O_NONBLOCK|unix.O_CLOEXEC)
	l.call(unix.SYS_PIPE2, 1, pipes+8, unix.O_NONBLOCK|unix.O_CLOEXEC)
	l.call(unix.SYS_FCNTL, 0, l.to, unix.F_SETPIPE_SZ, ptyPipeSize)
	l.call(unix.SYS_FCNTL, 0, l.copyTo, unix.F_SETPIPE_SZ, ptyPipeSize)
	if l.packet {
		l.call(unix.SYS_IOCTL, 1<<2, l.master, unix.TIOCPKT, l.integer(0))
	}
	return peer, pipes
}

func (l *ptyList) close() {
	if l.exclusive {
		l.call(unix.SYS_IOCTL, 0, l.own, unix.TIOCEXCL)
	}
	if l.packet {
		l.call(unix.SYS_IOCTL, 1<<2, l.master, unix.TIOCPKT, l.integer(1))
	}
	if l.locked {
		l.call(unix.SYS_IOCTL, 1<<2, l.master, unix.TIOCSPTLCK, l.integer(1))
	}
	l.call(unix.SYS_FCNTL, 0, l.master, unix.F_SETFL, l.flags)
	for _, fd := range []uint64{l.slave, l.from, l.to, l.copyFrom, l.copyTo} {
		l.call(unix.SYS_CLOSE, 0, fd)
	}
}

func (l *ptyList) modes(termios []byte) {
	l.call(unix.SYS_IOCTL, 1<<2, l.slave, tcsets2, l.put(termios))
}

// take moves what waits in a terminal into the pipe. If the terminal is in canonical mode, each call moves one line at most.
func (l *ptyList) take(terminal uint64, times int) (first int) {
	first = len(l.calls)
	for range times {
		l.call(unix.SYS_SPLICE, 0, terminal, 0, l.to, 0, 1<<16, unix.SPLICE_F_NONBLOCK)
	}
	return first
}

// copyPipe copies the pipe's content into the data.
func (l *ptyList) copyPipe() (read int, at uint64) {
	at = l.put(make([]byte, ptyQueue))
	l.call(unix.SYS_TEE, 0, l.from, l.copyTo, ptyPipeSize, unix.SPLICE_F_NONBLOCK)
	return l.call(unix.SYS_READ, 1<<1, l.copyFrom, at, ptyQueue), at
}

// copied is the result of copyPipe.
func (l *ptyList) copied(read int64, at uint64) []byte {
	return l.data[at : at+uint64(min(max(read, 0), ptyQueue))]
}

// ptyChunk is how many bytes one call writes. With this size the kernel's buffers hold the most bytes: 18 chunks, if the kernel's worker
// has moved all earlier chunks to the queue (drivers/tty/tty_buffer.c).
const ptyChunk = 1024

// giveBack writes the pipe's content to a terminal. A worker of the kernel moves it to the queue of the other side. If the content is
// large, there is room for the rest only after the worker has moved the first part.
func (l *ptyList) giveBack(terminal, other uint64, much bool) {
	for left := uint64(ptyFull); left > 0; left -= min(left, ptyChunk) {
		l.call(unix.SYS_SPLICE, 0, l.from, 0, terminal, 0, min(left, ptyChunk), unix.SPLICE_F_NONBLOCK)
	}
	if !much {
		return
	}
	l.await(other, unix.POLLIN, 100)
	l.pause(1)
	for range 10 {
		for range 8 {
			l.call(unix.SYS_SPLICE, 0, l.from, 0, terminal, 0, ptyChunk, unix.SPLICE_F_NONBLOCK)
		}
		l.pause(1)
	}
}

// await waits for an event of a terminal.
func (l *ptyList) await(terminal uint64, events int16, milliseconds uint64) {
	poll := binary.NativeEndian.AppendUint32(nil, uint32(terminal))
	poll = binary.NativeEndian.AppendUint16(poll, uint16(events))
	l.call(unix.SYS_POLL, 1, l.put(append(poll, 0, 0)), 1, milliseconds)
}

// pause gives the kernel's worker time. There is no event for the end of its work.
func (l *ptyList) pause(milliseconds uint64) { l.call(unix.SYS_POLL, 0, 0, 0, milliseconds) }

// run has the member make the calls.
func (l *ptyList) run(m *Member) ([]int64, error) {
	if len(l.calls) > abi.CallsMax || len(l.data) > abi.DataMax {
		return nil, fmt.Errorf("%d calls, %d bytes", len(l.calls), len(l.data))
	}
	results, err := m.Calls(l.calls, l.data)
	if err == nil && len(results) != len(l.calls) {
		err = fmt.Errorf("%d results for %d calls", len(results), len(l.calls))
	}
	return results, err
}

// fresh is an empty list with the same descriptor numbers.
func (l *ptyList) fresh() *ptyList {
	other := *l
	other.calls, other.data = nil, nil
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

// output returns what waits on its way from the slave to the master, and leaves it there.
func (l *ptyList) output(m *Member, termios []byte, much bool) ([]byte, error) {
	l = l.fresh()
	l.open()
	l.take(l.master, 16)
	read, at := l.copyPipe()
	l.modes(rawModes(termios))
	l.giveBack(l.slave, l.master, much)
	l.modes(termios)
	l.close()
	results, err := l.run(m)
	if err != nil {
		return nil, err
	}
	return l.copied(results[read], at), l.complete(results, l.slave)
}

// complete makes sure that as many bytes were written back as were taken.
func (l *ptyList) complete(results []int64, terminal uint64) error {
	taken, written := int64(0), int64(0)
	for i, c := range l.calls {
		if c.Number != unix.SYS_SPLICE || results[i] <= 0 {
			continue
		}
		if c.Args[2] == l.to {
			taken += results[i]
		} else if c.Args[2] == terminal {
			written += results[i]
		}
	}
	if taken != written {
		return fmt.Errorf("%d bytes waited in it, and only %d of them could be put back", taken, written)
	}
	return nil
}

// input returns what waits on its way to the slave, and leaves it there: in canonical mode the lengths of the lines, and
// then the beginning of a line. present is what FIONREAD says.
func (l *ptyList) input(m *Member, termios []byte, lines bool, present int) (content []byte, lengths []int, err error) {
	canonical := isCanonical(termios)
	i := l.fresh()
	i.open()
	i.await(i.slave, unix.POLLIN, 0) // poll(2) waits until the kernel has delivered what is on its way
	first, last := 0, 0
	if lines && canonical {
		first = i.take(i.slave, 200)
		last = len(i.calls)
	}
	i.modes(rawModes(termios))
	i.take(i.slave, 8)
	read, at := i.copyPipe()
	i.modes(fillModes(termios, present))
	i.giveBack(i.master, i.slave, present > 4*ptyChunk)
	if lines || !canonical {
		i.await(i.slave, unix.POLLIN, 1000)
		i.pause(10)
	} else {
		i.await(i.slave, unix.POLLIN, 0) // poll(2) finds no line to read, so it waits until the kernel's worker has run
	}
	i.modes(termios)
	i.close()
	results, err := i.run(m)
	if err != nil {
		return nil, nil, err
	}
	content = i.copied(results[read], at)
	total := int64(0)
	for _, n := range results[first:last] {
		if n < 0 {
			continue
		}
		if total += n; n > ptyQueue || total > int64(len(content)) {
			return nil, nil, fmt.Errorf("lines of %d bytes and more, in %d bytes", total, len(content))
		}
		lengths = append(lengths, int(n))
	}
	if err := i.complete(results, i.master); err != nil || !canonical || naturalLines(content, lengths) {
		return content, lengths, err
	}
	return content, lengths, l.again(m, termios, content, lengths)
}

// again puts lines back that do not all end with a newline. The first list has put them back as one line.
func (l *ptyList) again(m *Member, termios, content []byte, lengths []int) error {
	l = l.fresh()
	l.open()
	l.modes(rawModes(termios))
	l.take(l.slave, 8)
	l.modes(typeModes(termios, 0))
	keys := typed(content, lengths)
	write := l.call(unix.SYS_WRITE, 1<<1, l.master, l.put(keys), uint64(len(keys)))
	l.await(l.slave, unix.POLLIN, 1000)
	l.pause(10)
	l.modes(termios)
	l.close()
	results, err := l.run(m)
	if err == nil && results[write] != int64(len(keys)) {
		err = fmt.Errorf("%d of %d bytes could be put back", results[write], len(keys))
	}
	return err
}

package fd

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// output returns what waits on its way from the slave to the master, and leaves it there.
func (l *ptyList) output(m *Member, termios []byte) ([]byte, error) {
	l = l.fresh()
	l.open()
	l.take(l.master, ptyPieces)
	read, at := l.copyPipe()
	l.modes(rawModes(termios))
	l.giveBack(l.from, l.slave, ptyWrites(ptyQueue))
	l.modes(termios)
	l.close()
	results, err := l.run(m)
	if err != nil {
		return nil, err
	}
	return l.copied(results[read], at), l.complete(results, l.slave)
}

// input returns what waits on its way to the slave, and leaves it there: in canonical mode the lengths of the lines, and
// then the beginning of a line. present is what FIONREAD says.
func (l *ptyList) input(m *Member, termios []byte, lines bool, present int) (content []byte, lengths []int, err error) {
	canonical := isCanonical(termios)
	lines = lines && canonical
	i := l.fresh()
	i.open()
	first := len(i.calls)
	if lines {
		i.take(i.slave, ptyLines)
	} else if !canonical && present < ptyFull {
		i.take(i.slave, ptyPieces) // the program's modes apply to bytes that the worker has not moved to the queue yet
	}
	last := len(i.calls)
	i.modes(rawModes(termios))
	i.take(i.slave, ptyPieces)
	read, at := i.copyPipe()
	if canonical && !lines {
		i.modes(fillModes(termios))
		i.giveBack(i.from, i.master, ptyWrites(ptyQueue))
		i.await(i.slave, unix.POLLIN, 0) // poll(2) finds no line to read, so it waits until the worker has moved all
	} else {
		i.giveBack(i.from, i.master, ptyWrites(ptyQueue))
		i.arrived(abi.Result(3), read)
	}
	i.modes(termios)
	i.close()
	results, err := i.run(m)
	if err != nil {
		return nil, nil, err
	}
	content = i.copied(results[read], at)
	if err := i.complete(results, i.master); err != nil || !canonical || !lines && bytes.IndexByte(content, '\n') < 0 {
		return content, nil, err
	}
	if lines {
		if lengths, err = lineLengths(content, results[first:last]); err != nil {
			return nil, nil, err
		}
	}
	return content, lengths, l.typeLines(m, termios, content, lengths)
}

// typeLines makes lines of the content again. The list of input has put it back as one line; or as several, if the beginning of a line has
// newlines in it.
func (l *ptyList) typeLines(m *Member, termios, content []byte, lengths []int) error {
	l = l.fresh()
	l.open()
	l.modes(rawModes(termios))
	l.take(l.slave, ptyPieces)
	l.modes(typeModes(termios))
	t := typed(content, lengths)
	l.call(unix.SYS_WRITE, abi.Data(1), l.copyTo, l.put(t.keys), uint64(len(t.keys)))
	l.call(unix.SYS_CLOSE, 0, l.copyTo)
	l.giveBack(l.copyFrom, l.master, append(t.writes, ptyPass, ptyPass)) // further ones, if the kernel has cut some short
	if len(lengths) > 0 {
		l.await(l.slave, unix.POLLIN, uint64(ptyTimeout.Milliseconds()))
		l.arrived(0, t.arrive)
	} else {
		l.await(l.slave, unix.POLLIN, 0)
	}
	l.modes(termios)
	l.close()
	results, err := l.run(m)
	if err != nil {
		return err
	}
	if n := l.written(results, l.master); n != int64(len(t.keys)) {
		return fmt.Errorf("%d of %d bytes could be put back", n, len(t.keys))
	}
	return nil
}

// complete makes sure that as many bytes were written back to a terminal as were taken.
func (l *ptyList) complete(results []int64, terminal uint64) error {
	if taken, written := l.written(results, l.to), l.written(results, terminal); taken != written {
		return fmt.Errorf("%d bytes waited in it, and only %d of them could be put back", taken, written)
	}
	return nil
}

// written is how many bytes splice(2) has written to a descriptor.
func (l *ptyList) written(results []int64, to uint64) (n int64) {
	for i, c := range l.calls {
		if c.Number == unix.SYS_SPLICE && c.Args[2] == to {
			n += max(results[i], 0)
		}
	}
	return n
}

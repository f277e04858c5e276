package fd

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

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
	write := l.call(unix.SYS_WRITE, abi.Data(1), l.master, l.put(keys), uint64(len(keys)))
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

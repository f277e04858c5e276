package fd

import (
	"slices"

	"golang.org/x/sys/unix"
)

// A stream can have one byte of out-of-band data in its queue (send(2), MSG_OOB). MSG_PEEK with SO_OOBINLINE shows it as any other byte. The
// kernel ends a read before this byte. So the byte is at the beginning of the queue or where a read by MSG_PEEK has ended.

// urgent is the out-of-band byte in the queue of a stream.
type urgent struct {
	waits bool
	first bool // it is the first byte of the queue
	value byte
}

const siocatmark = 0x8905 // SIOCATMARK of asm-generic/sockios.h

// lookForUrgent looks for out-of-band data, and has MSG_PEEK show it. The result is also a function that sets SO_OOBINLINE again.
func lookForUrgent(socket int, now *unixReading) (u urgent, back func(), err error) {
	back = func() {}
	if now.events&unix.POLLPRI == 0 {
		return u, back, nil
	}
	option, before := socketOptions["oob_inline"], now.option("oob_inline")
	if before == nil {
		return u, back, passing("out-of-band data waits in it (MSG_OOB)")
	}
	back = func() { _ = option.set(socket, before) }
	if err := option.set(socket, []int32{0}); err != nil { // otherwise MSG_OOB reads nothing
		return u, back, err
	}
	var one [1]byte
	if _, _, err := unix.Recvfrom(socket, one[:], unix.MSG_OOB|unix.MSG_PEEK|unix.MSG_DONTWAIT); err != nil {
		return u, back, passing("out-of-band data waits in it (MSG_OOB), and cannot be read: " + err.Error())
	}
	mark, err := unix.IoctlGetInt(socket, siocatmark)
	if err == nil {
		err = option.set(socket, []int32{1})
	}
	return urgent{true, mark != 0, one[0]}, back, err
}

// mark makes a message of the out-of-band byte. It is at one of the positions in starts.
func (q *queue) mark(u urgent, starts []int) error {
	starts = slices.DeleteFunc(starts, func(at int) bool { return q.content[at] != u.value || (at == 0) != u.first })
	if len(starts) != 1 {
		return passing("out-of-band data waits in it (MSG_OOB), and the kernel does not show where")
	}
	before := starts[0]
	for i, m := range q.messages {
		if before >= m.Size {
			before -= m.Size
			continue
		}
		if q.rights[i] != nil {
			break
		}
		head, byteItself, tail := m, m, m
		head.Size, byteItself.Size, byteItself.OutOfBand, tail.Size = before, 1, true, m.Size-before-1
		parts := slices.DeleteFunc([]UnixMessage{head, byteItself, tail}, func(m UnixMessage) bool { return m.Size == 0 })
		q.messages = slices.Replace(q.messages, i, i+1, parts...)
		q.rights = slices.Replace(q.rights, i, i+1, make([][]*open, len(parts))...)
		return nil
	}
	return passing("out-of-band data waits in it (MSG_OOB), together with descriptors")
}

package fd

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// backlogExchange has an initiator accept the connections that wait in a listening socket, and make them again.
type backlogExchange struct {
	*backlog
	member  *Member
	files   []int  // of the writer: the listening socket, then the clients
	numbers []int  // the numbers that the initiator will get for them
	address uint64 // of the initiator's copy of the data
	mapped  uint64 // what prepare has mapped for the table; 0: nothing
	table   uint64
	room    uint64 // for the bytes of all connections; 0: none
	most    int    // bytes of one connection
	callList
}

// exchange reads all connections that wait, and leaves them there.
func (b *backlog) exchange(c *capture) (err error) {
	if err := b.check(&c.tcp); err != nil {
		return err
	}
	own, err := filterOf(b.listener.handle.fd)
	if err != nil {
		return err
	}
	x := &backlogExchange{backlog: b, member: b.listener.member, files: []int{b.listener.handle.fd}, most: 1}
	for _, w := range b.clients {
		h, err := w.source()()
		if err != nil {
			return err
		}
		defer h.Close()
		x.files, x.most = append(x.files, h.fd), max(x.most, w.expected)
	}
	defer func() { err = errors.Join(err, x.unmap()) }()
	if err := x.prepare(); err != nil {
		return err
	}
	if err := x.fillTable(); err != nil {
		return err
	}
	at := x.list(own)
	results, err := x.runBy(func(calls []abi.Call, data []byte) ([]int64, error) { return x.member.Give(x.files, calls, data) })
	if err != nil {
		return err
	}
	return x.take(at, results)
}

// prepare maps memory, and finds out which numbers descriptors will get.
func (x *backlogExchange) prepare() error {
	const private = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	numbers := 2*len(x.clients) + 1 // the accepted connections get numbers, too
	var l callList
	l.call(abi.CallAddress, abi.Data(0))
	room := l.call(unix.SYS_MMAP, 0, 0, uint64(len(x.clients)*x.most), unix.PROT_READ|unix.PROT_WRITE, private|unix.MAP_POPULATE, ^uint64(0), 0)
	table := l.call(unix.SYS_MMAP, 0, 0, 2*tableSize, unix.PROT_NONE, private|unix.MAP_NORESERVE, ^uint64(0), 0)
	first := len(l.calls)
	for range numbers {
		l.call(unix.SYS_FCNTL, 0, uint64(x.member.Wire), unix.F_DUPFD_CLOEXEC, 0)
	}
	for i := range numbers {
		l.call(unix.SYS_CLOSE, abi.Result(0), uint64(first+i))
	}
	results, err := l.run(x.member)
	if err != nil {
		return err
	}
	x.address = uint64(results[0])
	if err = failed("mmap", results[room]); err == nil {
		x.room = uint64(results[room])
	}
	if failed := failed("mmap", results[table]); failed == nil {
		x.mapped = uint64(results[table])
		x.table = (x.mapped + tableSize - 1) &^ (tableSize - 1)
	} else {
		err = errors.Join(err, failed)
	}
	for _, number := range results[first:][:numbers] {
		if err == nil {
			err = failed("it has no free descriptor", number)
		}
		x.numbers = append(x.numbers, int(number))
	}
	return err
}

// unmap ends what prepare has begun.
func (x *backlogExchange) unmap() error {
	var l callList
	if x.room != 0 {
		l.call(unix.SYS_MUNMAP, 0, x.room, uint64(len(x.clients)*x.most))
	}
	if x.mapped != 0 {
		l.call(unix.SYS_MUNMAP, 0, x.mapped, 2*tableSize)
	}
	if len(l.calls) == 0 {
		return nil
	}
	_, err := l.run(x.member)
	return err
}

// take reads the bytes of the connections, and makes sure that all connections have been made again.
func (x *backlogExchange) take(all []backlogPositions, results []int64) error {
	clients := make(map[uint16]*backlogClient)
	for _, w := range x.clients {
		clients[w.inet.own.Port()] = w
	}
	for i, at := range all {
		port := binary.BigEndian.Uint16(x.data[at.peer+2:])
		w := clients[port]
		delete(clients, port)
		if err := failed("accept", results[at.accepted]); err != nil {
			return err
		}
		if w == nil {
			return fmt.Errorf("accept returned a connection from port %d", port)
		}
		size := int(binary.NativeEndian.Uint32(x.data[at.size:]))
		joined := results[at.joined]
		if joined == -int64(unix.EINPROGRESS) {
			joined = 0
		}
		switch {
		case size != w.expected || size > 0 && int(results[at.received]) != size:
			return fmt.Errorf("the connection from %s had %d bytes in place of %d, of which %d have been read", w.inet.own, size, w.expected, results[at.received])
		case joined != 0 || int(results[at.sent]) != size:
			return fmt.Errorf("the client %s has lost its connection: connect %d, send %d of %d bytes", w.inet.own, results[at.joined], results[at.sent], size)
		}
		content := make([]byte, size)
		if size > 0 {
			if err := readMemory(x.member.live(), x.place(i), content); err != nil {
				return err
			}
		}
		w.settle(i, content)
	}
	return nil
}

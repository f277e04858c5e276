package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// socketMemory is part of what SO_MEMINFO tells of a socket (linux/sock_diag.h): the memory of its receive queue and of its send queue,
// and how many datagrams were dropped.
type socketMemory struct{ received, sent, dropped uint32 }

func memoryInfo(socket int) (m socketMemory, err error) {
	var text [9 * 4]byte
	if _, err := getBytes(socket, unix.SOL_SOCKET, unix.SO_MEMINFO, text[:]); err != nil {
		return m, fmt.Errorf("SO_MEMINFO: %w", err)
	}
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(text[4*i:]) }
	return socketMemory{received: word(0), sent: word(2), dropped: word(8)}, nil
}

// arrivalTime bounds the time that a datagram takes through the loopback interface.
const arrivalTime = 500 * time.Millisecond

// await waits until the queue has grown. So datagrams of several senders keep their order. await does not use MSG_PEEK, because the
// kernel remembers which empty datagrams MSG_PEEK has read.
func (m socketMemory) await(socket int) error {
	for end := time.Now().Add(arrivalTime); ; time.Sleep(50 * time.Microsecond) { // poll(2) tells only of the first datagram
		now, err := memoryInfo(socket)
		switch {
		case err != nil:
			return err
		case now.received > m.received:
			return nil
		case now.dropped != m.dropped:
			return errors.New("there is no room in the receive buffer")
		case time.Now().After(end):
			return errors.New("it has not arrived")
		}
	}
}

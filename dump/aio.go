package dump

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/host"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// readContexts finds the events in the rings of the member's contexts of kernel AIO, and refuses contexts that cannot come back. It waits for
// requests that are under way: those of a disk are soon complete. It comes before the descriptors are captured, because a request can
// add to an eventfd when it is complete.
func (m *Member) readContexts() error {
	for _, e := range m.entries {
		if e.Path != "/[aio]" {
			continue
		}
		events, why, err := m.unreadEvents(e)
		if err != nil {
			why = unrestorable{why: fmt.Sprintf("CRAK cannot find out whether requests of it are under way: %v", err)}
		}
		if why.why != "" {
			m.obstacles = append(m.obstacles, obstacle.Obstacle{Pid: m.Pid, Where: whereOf(e), What: "AIO context (io_setup(2))", Why: why.why,
				Do: "checkpoint the program when it has no AIO context, or when no request is under way", Passes: why.passes})
		}
		if m.unread == nil {
			m.unread = make(map[uint64][]byte)
		}
		m.unread[e.Start] = events
	}
	return nil
}

// unrestorable says why a context cannot come back, and whether that may pass.
type unrestorable struct {
	why    string
	passes bool
}

// underWayMost bounds the wait for requests that are under way.
const underWayMost = 300 * time.Millisecond

// unreadEvents returns the events in the ring of a context, which the program has not read.
func (m *Member) unreadEvents(e proc.SmapsEntry) (events []byte, why unrestorable, err error) {
	const readWrite = unix.PROT_READ | unix.PROT_WRITE
	if e.Prot != readWrite || e.Offset != 0 || e.Size() > image.AIORingMost {
		return nil, unrestorable{why: "the program has changed the mapping of its ring"}, nil
	}
	processors, err := host.Processors()
	if err == nil && processors > abi.ProcessorsMax {
		err = fmt.Errorf("%d processors", processors)
	}
	if err != nil {
		return nil, why, err
	}
	places := image.AIOPlaces(e.Size())
	most := aioMost(places, processors)
	results, err := m.Conn.Calls([]abi.Call{
		{Number: unix.SYS_IO_GETEVENTS, Args: [6]uint64{e.Start}}, // takes no event; fails if the process has no such context
		{Number: abi.CallAIORoom, Args: [6]uint64{e.Start, places, most, processors}},
	}, nil)
	if err != nil {
		return nil, why, err
	}
	if results[0] < 0 {
		return nil, unrestorable{why: "it is of another process"}, nil
	}
	if results[1] < 0 {
		return nil, why, unix.Errno(-results[1])
	}
	// What is completed from now on is an event. Nobody starts a request.
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // only a call that takes events waits for them
		if events, err = m.readRing(e, places); err != nil {
			return nil, why, err
		}
		n := int64(most) - results[1] - int64(len(events)/image.AIOEventSize)
		if n == 0 {
			return events, why, nil
		}
		if time.Since(began) > underWayMost {
			return nil, unrestorable{fmt.Sprintf("%d of its requests are under way", n), true}, nil
		}
	}
}

// aioMost is how many requests a context can take. The kernel gives its places to processors in batches (kioctx.req_batch in fs/aio.c),
// and never the rest that is no batch.
func aioMost(places, processors uint64) uint64 {
	all := places - 1
	batch := max(1, all/(4*processors))
	return all - all%batch
}

// readRing returns the unread events of a ring (struct aio_ring in fs/aio.c) in their order.
func (m *Member) readRing(e proc.SmapsEntry, places uint64) ([]byte, error) {
	ring := make([]byte, e.Size())
	memory, err := openReader(m.Live)
	if err != nil {
		return nil, err
	}
	defer memory.close()
	if err := memory.read(ring, []image.Run{{Start: e.Start, Length: e.Size()}}); err != nil {
		return nil, err
	}
	number := func(at int) uint64 { return uint64(binary.NativeEndian.Uint32(ring[at:])) }
	const countAt, headAt, tailAt = 4, 8, 12
	if number(countAt) != places {
		return nil, fmt.Errorf("its ring has room for %d events, not for %d", places, number(countAt))
	}
	var events []byte
	for i := number(headAt) % places; i != number(tailAt)%places; i = (i + 1) % places {
		at := image.AIOHeaderSize + i*image.AIOEventSize
		events = append(events, ring[at:at+image.AIOEventSize]...)
	}
	return events, nil
}

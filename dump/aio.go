package dump

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/host"
	"crak.dev/crak/internal/proc"
)

const aioWhat = "AIO context (io_setup(2))"

// aioContext records a context of kernel AIO, which is the mapping of its ring.
func (m *Member) aioContext(v *image.Mapping, e proc.SmapsEntry) {
	v.Kind, v.Name = image.MappingAIO, ""
	if m.Conn == nil { // the process is not frozen, so there is nobody to ask
		return
	}
	events, why, err := m.unreadEvents(e)
	if err != nil {
		why = fmt.Sprintf("CRAK cannot find out whether requests of it are under way: %v", err)
	}
	if why != "" {
		m.refuse(whereOf(e), aioWhat, why, "checkpoint the program when it has no AIO context, or when no request is under way")
	}
	v.Events = events
}

// unreadEvents returns the events in the ring of a context, which the program has not read. It says why the context cannot come back.
func (m *Member) unreadEvents(e proc.SmapsEntry) (events []byte, why string, err error) {
	const readWrite = unix.PROT_READ | unix.PROT_WRITE
	if e.Prot != readWrite || e.Offset != 0 || e.Size() > image.AIORingMost {
		return nil, "the program has changed the mapping of its ring", nil
	}
	processors, err := host.Processors()
	if err == nil && processors > abi.ProcessorsMax {
		err = fmt.Errorf("%d processors", processors)
	}
	if err != nil {
		return nil, "", err
	}
	places := image.AIOPlaces(e.Size())
	most := aioMost(places, processors)
	// The initiator counts first, and then the events are read: what is completed in between is an event.
	result, err := m.Conn.Calls([]abi.Call{{Number: abi.CallAIORoom, Args: [6]uint64{e.Start, places, most, processors}}}, nil)
	if err != nil {
		return nil, "", err
	}
	switch free := result[0]; {
	case free < 0:
		return nil, "", unix.Errno(-free)
	case free == 0:
		return nil, "it is of another process, or takes no request", nil
	default:
		if events, err = m.readRing(e, places); err != nil {
			return nil, "", err
		}
		if n := int64(most) - free - int64(len(events)/image.AIOEventSize); n != 0 {
			return nil, fmt.Sprintf("%d of its requests are under way", n), nil
		}
		return events, "", nil
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

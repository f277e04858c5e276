package image

import (
	"errors"
	"fmt"
)

// The ring of a context of kernel AIO: a header and places for events, one of which is never used (struct aio_ring in fs/aio.c).
const (
	AIOHeaderSize = 32
	AIOEventSize  = 32      // struct io_event
	AIORingMost   = 1 << 24 // bytes; with fs.aio-max-nr at its default, 65536, a ring has 4 MiB
)

// AIOPlaces is the number of places of a ring.
func AIOPlaces(size uint64) uint64 { return (size - AIOHeaderSize) / AIOEventSize }

func checkAIO(m *Mapping) error {
	size := uint64(m.End - m.Start)
	switch {
	case !m.Shared || m.Prot != 3 || m.Offset != 0:
		return errors.New("kind: the ring of an AIO context is shared and writable")
	case size > AIORingMost:
		return fmt.Errorf("end: an AIO context of %d bytes", size)
	case len(m.Events)%AIOEventSize != 0 || uint64(len(m.Events)/AIOEventSize) >= AIOPlaces(size):
		return fmt.Errorf("events: %d bytes in a ring of %d", len(m.Events), size)
	}
	return nil
}

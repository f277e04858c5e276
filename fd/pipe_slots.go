package fd

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A PipeSlot is a piece of the content of a pipe (struct pipe_buffer in the kernel). write(2) puts bytes into the last slot only if they all
// fit into its page. splice(2) and vmsplice(2) always begin a slot.
type PipeSlot struct {
	Size   int  `json:"size"`
	Packet bool `json:"packet,omitempty"` // a read ends at its end (pipe(2), O_DIRECT)
}

// pipePage is the most that write(2) puts into a slot.
const pipePage = 4096

// A slotMover moves the content of a pipe slot by slot: splice(2) into a pipe that has room for one slot moves one.
type slotMover struct{ single, second [2]int }

func newSlotMover() (*slotMover, error) {
	m := &slotMover{single: [2]int{-1, -1}, second: [2]int{-1, -1}}
	for slots, ends := range []*[2]int{&m.single, &m.second} {
		err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, (slots+1)*pipePage)
		}
		if err != nil {
			m.close()
			return nil, os.NewSyscallError("pipe2", err)
		}
	}
	return m, nil
}

func (m *slotMover) close() { closeAll([]int{m.single[0], m.single[1], m.second[0], m.second[1]}) }

// takeSlots takes all slots out of a pipe.
func takeSlots(from, length int) (slots []PipeSlot, content []byte, err error) {
	m, err := newSlotMover()
	if err != nil {
		return nil, nil, err
	}
	defer m.close()
	content = make([]byte, length+1) // with a byte that is behind each slot
	for at := 0; at < length; {
		s, err := m.take(from, content[at:])
		if err != nil {
			return nil, nil, fmt.Errorf("%d bytes of %d: %w", at, length, err)
		}
		slots = append(slots, s)
		at += s.Size
	}
	return slots, content[:length], nil
}

// take reads a slot into a buffer that has room for one byte more. It puts another byte behind the slot: a read returns both, unless the slot
// is a packet.
func (m *slotMover) take(from int, buffer []byte) (s PipeSlot, err error) {
	n, err := unix.Splice(from, nil, m.single[1], nil, len(buffer), unix.SPLICE_F_NONBLOCK)
	if err != nil || n <= 0 || int(n) >= len(buffer) {
		return s, fmt.Errorf("splice: %d bytes: %w", n, err)
	}
	s.Size = int(n)
	if moved, err := unix.Splice(m.single[0], nil, m.second[1], nil, s.Size, unix.SPLICE_F_NONBLOCK); err != nil || moved != n {
		return s, fmt.Errorf("splice: %d bytes of %d: %w", moved, n, err)
	}
	if _, err := unix.Write(m.second[1], []byte{0}); err != nil {
		return s, os.NewSyscallError("write", err)
	}
	got, err := unix.Read(m.second[0], buffer[:s.Size+1])
	if s.Packet = got == s.Size; s.Packet {
		_, err = unix.Read(m.second[0], make([]byte, 1))
	}
	if err != nil || got < s.Size {
		return s, fmt.Errorf("read: %d bytes of %d: %w", got, n, err)
	}
	return s, nil
}

// keepSlots notes the slots in the record, if the content alone does not tell them.
func (r *PipeObject) keepSlots(slots []PipeSlot) {
	packets, usual := 0, true
	for i, s := range slots {
		if s.Packet {
			packets++
		}
		usual = usual && (i == len(slots)-1 || s.Size == pipePage)
	}
	switch {
	case packets > 0 && len(slots) == packets:
		for _, s := range slots {
			r.Packets = append(r.Packets, s.Size)
		}
	case !usual || packets > 0 && len(slots) > 1:
		r.Slots = slots
	}
}

// slotsFit tells whether a restart can make the slots. A slot larger than a page has come from elsewhere, such as a socket.
func (r *PipeObject) slotsFit() bool {
	for _, s := range r.Slots {
		if s.Size > pipePage {
			return false
		}
	}
	return len(r.Slots)*pipePage <= r.Capacity
}

// isClosed tells whether write(2) puts no bytes into the last slot any more, as after vmsplice(2). The kernel does not tell that. So CRAK takes
// it as closed if its bytes are not in the slot before it although they fit there.
func (r *PipeObject) isClosed() bool {
	last := len(r.Slots) - 1
	return last > 0 && r.Slots[last].Size < pipePage && !r.Slots[last-1].Packet && r.Slots[last-1].Size+r.Slots[last].Size <= pipePage
}

// fillSlots makes the slots. It writes each into a pipe of its own and moves it from there.
func (r *PipeObject) fillSlots(pipe int, content []byte) error {
	m, err := newSlotMover()
	if err != nil {
		return err
	}
	defer m.close()
	for i, s := range r.Slots {
		mode := unix.O_NONBLOCK
		if s.Packet {
			mode |= unix.O_DIRECT
		}
		if _, err := unix.FcntlInt(uintptr(m.single[1]), unix.F_SETFL, mode); err != nil {
			return fmt.Errorf("F_SETFL: %w", err)
		}
		piece := content[:s.Size]
		if i == len(r.Slots)-1 && r.isClosed() {
			piece = append(bytes.Clone(piece), 0) // the kernel closes a slot of which splice(2) moves a part
		}
		n, err := unix.Write(m.single[1], piece)
		if err == nil && n == len(piece) {
			var moved int64
			moved, err = unix.Splice(m.single[0], nil, pipe, nil, s.Size, unix.SPLICE_F_NONBLOCK)
			n = int(moved)
		}
		if err == nil && n != s.Size {
			err = errors.New("too few")
		}
		if err != nil {
			return fmt.Errorf("slot %d: %d bytes of %d: %w", i, n, s.Size, err)
		}
		content = content[s.Size:]
	}
	return nil
}

package dump

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

const (
	robustMost = 2048       // ROBUST_LIST_LIMIT: the number of entries that the kernel visits
	futexTID   = 0x3fffffff // FUTEX_TID_MASK
)

// robust records the futex words of robust lists that are in shared mappings of files. When a thread ends, the kernel marks
// the mutexes that it holds as abandoned in these words (handle_futex_death in kernel/futex/core.c), and the file keeps that.
// The restart needs the old values to give the mutexes back to the thread.
func (m *Member) robust() error {
	if !slices.ContainsFunc(m.process.Mappings, outlives) {
		return nil
	}
	for i := range m.process.Threads {
		m.robustOf(&m.process.Threads[i])
	}
	return nil
}

func outlives(v image.Mapping) bool { return v.Kind == image.MappingFile && v.Shared && v.Writable }

// robustOf walks one list as the kernel does. The program can write anything to the list, so an address that cannot be read
// ends the walk.
func (m *Member) robustOf(t *image.Thread) {
	const headSize = 24 // struct robust_list_head: the list, the distance to the words, an entry in progress
	head := t.Parked.RobustList
	var h [headSize]byte
	if head == 0 || m.readMemory(head, h[:]) != nil {
		return
	}
	entry, distance, progress := binary.NativeEndian.Uint64(h[:]), binary.NativeEndian.Uint64(h[8:]),
		binary.NativeEndian.Uint64(h[16:])
	m.held(t, progress, distance)
	for range robustMost {
		var next [8]byte
		if entry&^1 == head || m.readMemory(entry&^1, next[:]) != nil {
			return
		}
		if entry != progress {
			m.held(t, entry, distance)
		}
		entry = binary.NativeEndian.Uint64(next[:])
	}
}

// held records the futex word of an entry if the thread holds it. The lowest bit of an entry marks a mutex with priority
// inheritance.
func (m *Member) held(t *image.Thread, entry, distance uint64) {
	var word [4]byte
	at := entry&^1 + distance
	if entry == 0 || at%4 != 0 || len(t.Robust) == robustMost || !m.isShared(at) || m.readMemory(at, word[:]) != nil {
		return
	}
	value := binary.NativeEndian.Uint32(word[:])
	if value&futexTID == uint32(t.Parked.Tid) {
		t.Robust = append(t.Robust, image.Robust{Word: image.Address(at), Value: value})
	}
}

func (m *Member) isShared(address uint64) bool {
	return slices.ContainsFunc(m.process.Mappings, func(v image.Mapping) bool {
		return outlives(v) && uint64(v.Start) <= address && address < uint64(v.End)
	})
}

// readMemory reads memory of the member, all of it or none.
func (m *Member) readMemory(address uint64, to []byte) error {
	local := []unix.Iovec{{Base: unsafe.SliceData(to), Len: uint64(len(to))}}
	n, err := unix.ProcessVMReadv(m.Live, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(to)}}, 0)
	if err == nil && n != len(to) {
		err = unix.EFAULT
	}
	return err
}

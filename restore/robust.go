package restore

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// Bits of a futex word (linux/futex.h).
const (
	futexWaiters   = 0x80000000
	futexOwnerDied = 0x40000000
	futexTID       = 0x3fffffff
)

// reclaimMutexes gives a member's threads the robust mutexes in mapped files that they held. When the threads died, the kernel
// released these mutexes and marked them, so that other threads can lock them. Preconditions: every thread exists, and the
// files have their final content.
func (g *group) reclaimMutexes(m *member) {
	for i := range m.process.Threads {
		t := &m.process.Threads[i]
		for _, r := range t.Robust {
			if path, err := m.reclaim(r); err != nil {
				g.env.Notice(fmt.Sprintf("pid %d thread %d: robust mutex at %v in %s: %v", m.process.Pid, t.Parked.Tid, r.Word, path, err))
			}
		}
	}
}

func (of *member) reclaim(r image.Robust) (path string, err error) {
	for i := range of.process.Mappings {
		m := &of.process.Mappings[i]
		if m.Kind != image.MappingFile || r.Word < m.Start || m.End <= r.Word {
			continue
		}
		f := of.mapped[behind(m)]
		if f == nil {
			return m.File.Path, errors.New("the mapping has no file")
		}
		return m.File.Path, reclaimIn(f, int64(m.Offset)+int64(r.Word-m.Start), r.Value)
	}
	return "no mapping", errors.New("it stays released")
}

// reclaimIn changes the futex word at an offset in a file. Other programs may change it at the same time.
func reclaimIn(f *os.File, offset int64, value uint32) error {
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	if offset < 0 || offset+4 > stat.Size() {
		return fmt.Errorf("the file ends at %d", stat.Size())
	}
	start := offset &^ (image.PageSize - 1)
	memory, err := unix.Mmap(int(f.Fd()), start, image.PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	defer unix.Munmap(memory)
	return reclaimMapped((*uint32)(unsafe.Pointer(&memory[offset-start])), value)
}

// reclaimMapped is reclaimWord for a word in a mapped file. Another process may make the file shorter at any time, and its file system may fail
// to read the page: the kernel then sends SIGBUS, which would end crak.
func reclaimMapped(word *uint32, value uint32) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the file cannot be read there: %v", fault)
		}
	}()
	return reclaimWord(word, value)
}

// reclaimWord locks a mutex for its old owner if the word is as the kernel leaves it when the owner dies.
func reclaimWord(word *uint32, value uint32) error {
	for {
		have := atomic.LoadUint32(word)
		switch {
		case have&^futexWaiters == value&^futexWaiters:
			return nil
		case have&futexTID != 0:
			return fmt.Errorf("it is no longer held by the thread: thread %d holds it", have&futexTID)
		case have&futexOwnerDied == 0:
			return errors.New("it is no longer held by any thread")
		case atomic.CompareAndSwapUint32(word, have, value|have&futexWaiters):
			return nil
		}
	}
}

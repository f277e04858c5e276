package dump

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// lockFuture finds out whether the kernel locks new mappings (mlockall(2), MCL_FUTURE). No file of /proc shows this, so the
// initiator makes a mapping and tests it: msync(MS_INVALIDATE) fails on a locked mapping. The page of a locked mapping is
// present at once, unless mappings are locked on fault (MCL_ONFAULT).
//
// Preconditions: no other goroutine reads the list of mappings at the same time.
func (m *Member) lockFuture() error {
	if m.status.VmLck == 0 {
		return nil
	}
	page := uint64(os.Getpagesize())
	readWrite := uint64(unix.PROT_READ | unix.PROT_WRITE)
	mmap := abi.Call{Number: unix.SYS_MMAP, Args: [6]uint64{0, page, readWrite, unix.MAP_SHARED | unix.MAP_ANONYMOUS, ^uint64(0), 0}}
	made, err := m.Conn.Calls([]abi.Call{mmap}, nil)
	if err != nil {
		return err
	}
	a := &m.process.Attributes
	if made[0] < 0 {
		a.LockFuture = made[0] == -int64(unix.EAGAIN) // the page would exceed RLIMIT_MEMLOCK
		return nil
	}
	at, vec := uint64(made[0]), make([]byte, 8)
	results, err := m.Conn.Calls([]abi.Call{
		{Number: unix.SYS_MSYNC, Args: [6]uint64{at, page, unix.MS_INVALIDATE}},
		{Number: unix.SYS_MINCORE, Relative: 1 << 2, Args: [6]uint64{at, page, 0}},
		{Number: unix.SYS_MUNMAP, Args: [6]uint64{at, page}},
	}, vec)
	if err != nil {
		return err
	}
	a.LockFuture = results[0] == -int64(unix.EBUSY)
	a.LockFutureOnFault = a.LockFuture && vec[0]&1 == 0
	return nil
}

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
	page := uint64(os.Getpagesize())
	const readWrite = unix.PROT_READ | unix.PROT_WRITE
	vec := make([]byte, 8)
	results, err := m.Conn.Calls([]abi.Call{
		{Number: unix.SYS_MMAP, Args: [6]uint64{0, page, readWrite, unix.MAP_SHARED | unix.MAP_ANONYMOUS, ^uint64(0), 0}},
		{Number: unix.SYS_MSYNC, Relative: abi.Result(0), Args: [6]uint64{0, page, unix.MS_INVALIDATE}},
		{Number: unix.SYS_MINCORE, Relative: abi.Result(0) | abi.Data(2), Args: [6]uint64{0, page, 0}},
		{Number: unix.SYS_MUNMAP, Relative: abi.Result(0), Args: [6]uint64{0, page}}, // if mmap has failed, all these fail
	}, vec)
	if err != nil {
		return err
	}
	a := &m.process.Attributes
	if results[0] < 0 {
		a.LockFuture = results[0] == -int64(unix.EAGAIN) // the page would exceed RLIMIT_MEMLOCK
		return nil
	}
	a.LockFuture = results[1] == -int64(unix.EBUSY)
	a.LockFutureOnFault = a.LockFuture && vec[0]&1 == 0
	return nil
}

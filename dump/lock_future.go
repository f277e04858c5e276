package dump

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// askLockFuture finds out whether the kernel locks new mappings (mlockall(2), MCL_FUTURE). No file of /proc shows this, so the
// initiator makes a mapping and tests it: msync(MS_INVALIDATE) fails on a locked mapping. The page of a locked mapping is
// present at once, unless mappings are locked on fault (MCL_ONFAULT).
//
// Preconditions: the list is empty, because calls name the result of the first one. Nobody reads the list of mappings while the initiator
// makes these calls.
func (m *Member) askLockFuture(ask *resident.Questions) {
	page := uint64(os.Getpagesize())
	const readWrite = unix.PROT_READ | unix.PROT_WRITE
	const first = 0
	a := &m.process.Attributes
	made := false
	ask.Value(unix.SYS_MMAP, [6]uint64{0, page, readWrite, unix.MAP_SHARED | unix.MAP_ANONYMOUS, ^uint64(0), 0}, func(result int64) {
		made = result >= 0
		a.LockFuture = result == -int64(unix.EAGAIN) // the page would exceed RLIMIT_MEMLOCK
	})
	ask.Ask(abi.Call{Number: unix.SYS_MSYNC, Relative: abi.Result(0), Args: [6]uint64{first, page, unix.MS_INVALIDATE}}, nil, func(result int64, _ []byte) {
		a.LockFuture = a.LockFuture || made && result == -int64(unix.EBUSY)
	})
	ask.Ask(abi.Call{Number: unix.SYS_MINCORE, Relative: abi.Result(0) | abi.Data(2), Args: [6]uint64{first, page, 0}}, make([]byte, 8), func(_ int64, vec []byte) {
		a.LockFutureOnFault = made && a.LockFuture && vec[0]&1 == 0
	})
	ask.Ask(abi.Call{Number: unix.SYS_MUNMAP, Relative: abi.Result(0), Args: [6]uint64{first, page}}, nil, func(int64, []byte) {}) // if mmap has failed, these three fail
}

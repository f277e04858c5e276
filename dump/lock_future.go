package dump

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// lockFuture finds out whether new mappings are locked (mlockall(2), MCL_FUTURE), which no file of /proc tells: by making one.
// A locked mapping cannot be invalidated, and its page is there at once unless it is locked on fault only.
//
// Preconditions: nobody reads the list of mappings meanwhile.
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
		a.LockFuture = made[0] == -int64(unix.EAGAIN) // beyond RLIMIT_MEMLOCK
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

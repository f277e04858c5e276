package fd

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/resident"
)

const (
	fGetOwnEx     = 16 // F_GETOWN_EX of linux/fcntl.h
	fGetSig       = 11 // F_GETSIG
	fGetOwnerUIDs = 17 // F_GETOWNER_UIDS, if the kernel has CONFIG_CHECKPOINT_RESTORE
)

// owner gets the answers about which process gets the I/O signals of a description.
type owner struct {
	kind, pid int32
	signal    int64
	of        *open
}

// askOwner asks the initiator and not a handle: the kernel returns PIDs of the caller's PID namespace.
func askOwner(q *resident.Questions, o *open) *owner {
	w := &owner{of: o}
	if o.flags&unix.O_PATH != 0 {
		return w
	}
	call := abi.Call{Number: unix.SYS_FCNTL, Relative: abi.Data(2), Args: [6]uint64{uint64(o.fd), fGetOwnEx}}
	q.Ask(call, make([]byte, 8), func(result int64, data []byte) {
		if result == 0 {
			w.kind = int32(binary.NativeEndian.Uint32(data))
			w.pid = int32(binary.NativeEndian.Uint32(data[4:]))
		}
	})
	q.Value(unix.SYS_FCNTL, [6]uint64{uint64(o.fd), fGetSig}, func(result int64) { w.signal = max(result, 0) })
	return w
}

// ownerSetBy returns the effective user ID of the process that has set the owner of a description.
func ownerSetBy(fd int) *uint32 {
	var ids [2]uint32 // real, effective
	if _, _, errno := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fGetOwnerUIDs, uintptr(unsafe.Pointer(&ids))); errno != 0 {
		return nil
	}
	return &ids[1]
}

// checkOwner refuses a description of root's processes whose owner another user has set. A restart by root would set it with root's rights,
// and the user could send signals to any process by it.
func (o *open) checkOwner() error {
	if o.ownedBy == nil || *o.ownedBy == 0 || os.Geteuid() != 0 || slices.ContainsFunc(o.holders, func(h holding) bool { return h.of.member.As != nil }) {
		return nil
	}
	return obstacle.Obstacle{What: o.link, Do: closeIt,
		Why: fmt.Sprintf("user %d has set who gets its I/O signals (F_SETOWN), and no process of this user has it open", *o.ownedBy)}
}

// record is nil if the description has no owner, or if nobody was asked.
func (w *owner) record() *image.Owner {
	if w == nil || w.pid == 0 && w.signal == 0 {
		return nil
	}
	r := &image.Owner{Type: int(w.kind), Pid: image.Pid(w.pid), Signal: int(w.signal)}
	if w.of.member.As == nil { // what the resident of another user's member says is restored with this user's rights
		r.UID = w.of.ownedBy
	}
	return r
}

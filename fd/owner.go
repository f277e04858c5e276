package fd

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

const (
	fGetOwnEx = 16 // F_GETOWN_EX of linux/fcntl.h
	fGetSig   = 11 // F_GETSIG
)

// owner gets the answers about which process gets the I/O signals of a description.
type owner struct {
	kind, pid int32
	signal    int64
}

// askOwner asks the initiator and not a handle: the kernel returns PIDs of the caller's PID namespace.
func askOwner(q *resident.Questions, o *open) *owner {
	w := &owner{}
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

// record is nil if the description has no owner, or if nobody was asked.
func (w *owner) record() *image.Owner {
	if w == nil || w.pid == 0 && w.signal == 0 {
		return nil
	}
	return &image.Owner{Type: int(w.kind), Pid: image.Pid(w.pid), Signal: int(w.signal)}
}

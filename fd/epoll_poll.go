package fd

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	epiocsparams = 0x40088a01 // EPIOCSPARAMS of linux/eventpoll.h
	epiocgparams = 0x80088a02 // EPIOCGPARAMS
	busyPollSize = 8          // of struct epoll_params
)

// busyPoll decodes struct epoll_params. It returns nil if the program has not set it.
func busyPoll(params []byte) *BusyPoll {
	p := BusyPoll{binary.NativeEndian.Uint32(params), binary.NativeEndian.Uint16(params[4:]), params[6] != 0}
	if p == (BusyPoll{}) {
		return nil
	}
	return &p
}

// set sets the parameters of an instance. They only make epoll_wait(2) faster, so a restart goes on without them.
func (p *BusyPoll) set(instance int, env *Env) {
	params := binary.NativeEndian.AppendUint32(nil, p.Usecs)
	params = append(binary.NativeEndian.AppendUint16(params, p.Budget), 0, 0)
	if p.Prefer {
		params[6] = 1
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(instance), epiocsparams, uintptr(unsafe.Pointer(unsafe.SliceData(params))))
	if errno != 0 {
		env.Tell(fmt.Sprintf("an epoll instance has no busy polling any more (%d µs, %d packets): EPIOCSPARAMS: %v", p.Usecs, p.Budget, errno))
	}
}

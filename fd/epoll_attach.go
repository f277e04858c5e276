package fd

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// attachEpoll registers the targets, each under the number that it had. If the member has something else under that number, or
// nothing, the target is there for a moment.
//
// If the instance had nothing to report at the checkpoint, the edges of targets that only the group can make ready are taken: they had been
// reported. Any other target may have become ready since then, so it is registered afterwards, and the program gets its edge, perhaps
// once more.
func attachEpoll(d image.Description, a *Attach) error {
	r, err := epollRecord(d)
	if err != nil || !a.First {
		return err
	}
	instance := a.Placed(d.ID)
	spent := 0
	for _, t := range r.Targets {
		if t.Spent {
			t.Events |= unix.EPOLLIN | unix.EPOLLOUT
			a.register(instance, t)
			spent++
		}
	}
	a.takeEvents(instance, spent, "targets that had been reported once")
	reported := func(t EpollTarget) bool { return r.Quiet && a.Inside(t.Description) }
	taken := 0
	for _, t := range r.Targets {
		if !t.Spent && reported(t) {
			a.register(instance, t)
			taken++
		}
	}
	a.takeEvents(instance, taken, "edges that had been reported")
	for _, t := range r.Targets {
		if !t.Spent && !reported(t) {
			a.register(instance, t)
		}
	}
	return nil
}

// register registers a target.
func (a *Attach) register(instance program.Arg, t EpollTarget) {
	number := program.Const(t.Fd)
	now, used := a.Numbers[t.Fd]
	inPlace := used && now.Description == t.Description
	var kept program.Arg
	if used && !inPlace {
		kept = a.Call(unix.SYS_FCNTL, number, program.Const(unix.F_DUPFD_CLOEXEC), program.Const(0)).Keep().Arg()
	}
	if !inPlace {
		a.Call(unix.SYS_DUP3, a.Placed(t.Description), number, program.Const(unix.O_CLOEXEC)).Want(uint64(t.Fd))
	}
	a.Call(unix.SYS_EPOLL_CTL, instance, program.Const(unix.EPOLL_CTL_ADD), number,
		a.Set.Struct(epollEvent{t.Events, uint32(t.Data), uint32(t.Data >> 32)}))
	switch {
	case inPlace:
	case used:
		a.Call(unix.SYS_DUP3, kept, number, program.Const(CloseOnExec(now))).Want(uint64(t.Fd))
		a.Call(unix.SYS_CLOSE, kept)
	default:
		a.Call(unix.SYS_CLOSE, number)
	}
}

// takeEvents has an epoll instance report events that the program must not get.
func (a *Attach) takeEvents(instance program.Arg, most int, note string) {
	if most = min(most, 1<<16); most == 0 {
		return
	}
	events := a.Set.Variable(make([]byte, most*int(unsafe.Sizeof(epollEvent{}))))
	a.Call(unix.SYS_EPOLL_WAIT, instance, events, program.Const(most), program.Const(0)).Any().Note(note)
}

// epollEvent is struct epoll_event, which is packed on amd64.
type epollEvent struct{ Events, DataLow, DataHigh uint32 }

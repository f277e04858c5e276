package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// Some descriptions only a member can make (handover.go), and such a description may be in the queue of a socket. crak fills this queue when
// all members are ready: the maker has sent the description through the placeholder, and crak receives it there as another member does.
// Until then crak keeps everything open that MakeAll has made.

// deferredFill is an object that FillDeferred fills.
type deferredFill struct {
	object image.Object
	needs  []image.DescriptionID // what members make
}

// lateIn lists the descriptions in an object that only members can make.
func (e *Env) lateIn(o image.Object) (late []image.DescriptionID) {
	for _, id := range RefersObject(o).Descriptions {
		if e.byMember[id] {
			late = append(late, id)
		}
	}
	return late
}

// Deferred tells whether there are objects that FillDeferred has to fill.
func (e *Env) Deferred() bool { return len(e.deferred) > 0 }

// FillDeferred fills the objects that wait for descriptions of members. Preconditions: all members are ready.
func (e *Env) FillDeferred() error {
	defer func() { e.deferred, e.descriptions = nil, nil }()
	for _, f := range e.deferred {
		for _, id := range f.needs {
			if !e.byMember[id] {
				continue // received before
			}
			file, err := receiveOne(e.descriptions[id])
			if err != nil {
				return fmt.Errorf("description %d, from the member that makes it: %w", id, err)
			}
			defer file.Close()
			e.descriptions[id], e.byMember[id] = file, false
		}
		if err := e.made[f.object.ID].fill(f.object, e); err != nil {
			return fmt.Errorf("%s %d: %w", f.object.Kind, f.object.ID, err)
		}
	}
	return nil
}

// receiveOne receives a descriptor from a placeholder.
func receiveOne(placeholder *os.File) (*os.File, error) {
	if placeholder == nil {
		return nil, os.ErrNotExist
	}
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(placeholder.Fd()), make([]byte, 8), control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	parts, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(parts) != 1 {
		return nil, fmt.Errorf("a message without a descriptor: %w", err)
	}
	fds, err := unix.ParseUnixRights(&parts[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("%d descriptors: %w", len(fds), err)
	}
	return os.NewFile(uintptr(fds[0]), "description of a member"), nil
}

package fd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// newPty makes a pseudo-terminal, unlocked. The kernel gives it the lowest free number.
func newPty(multiplexer string) (*madePty, error) {
	f, err := openAt(multiplexer, unix.O_RDWR, isMultiplexer)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrLinked) || errors.Is(err, os.ErrPermission) {
		// A container may have a device file in one place and a symbolic link in the other.
		for _, other := range []string{devPtmx, devPts + "/ptmx"} {
			if err != nil && other != multiplexer {
				f, err = openAt(other, unix.O_RDWR, isMultiplexer)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: TIOCSPTLCK: %w", multiplexer, err)
	}
	return &madePty{master: f}, nil
}

// isMultiplexer is an error unless the file is /dev/ptmx.
func isMultiplexer(st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(auxMajor, 2) {
		return errors.New("not the multiplexer of pseudo-terminals, device 5:2")
	}
	return nil
}

// ptyNumbered makes a pseudo-terminal with its old number. To get there it makes all free numbers below, and keeps those that
// other objects may need until all are made.
func (e *Env) ptyNumbered(multiplexer string, number uint32) (*madePty, error) {
	if e.ptys == nil {
		e.ptys = make(map[string]map[uint32]*madePty)
	}
	spare := e.ptys[multiplexer]
	if spare == nil {
		spare = make(map[uint32]*madePty)
		e.ptys[multiplexer] = spare
	}
	for {
		if p := spare[number]; p != nil {
			delete(spare, number)
			return p, nil
		}
		p, err := newPty(multiplexer)
		if err != nil {
			return nil, err
		}
		has, err := unix.IoctlGetInt(int(p.master.Fd()), unix.TIOCGPTN)
		if err != nil {
			p.close()
			return nil, fmt.Errorf("TIOCGPTN: %w", err)
		}
		spare[uint32(has)] = p
		if uint32(has) > number {
			return nil, PtyTakenError{fmt.Sprintf("%s/%d", devPts, number)}
		}
	}
}

// hungUpSlave makes the slave of a pseudo-terminal whose master is closed. The kernel hangs it up. If its number is taken, it gets
// another one that the group does not need.
func (e *Env) hungUpSlave(r PtySlave, mode uint32) (*os.File, error) {
	needed := make(map[uint32]bool)
	for _, o := range e.objects {
		if r, err := ptyRecord(o); o.Kind == ptyObjects.name && err == nil {
			needed[r.Number] = true
		}
	}
	for number := r.Number; ; number++ {
		if needed[number] {
			continue
		}
		p, err := e.ptyNumbered(devPtmx, number)
		if errors.As(err, new(PtyTakenError)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer p.close()
		return p.slave(mode)
	}
}

// closePtys closes those that no object has needed.
func (e *Env) closePtys() {
	for _, spare := range e.ptys {
		for _, p := range spare {
			p.close()
		}
	}
	e.ptys = nil
}

// PtyTakenError says that another program has the number of a pseudo-terminal now.
type PtyTakenError struct{ Path string }

func (e PtyTakenError) Error() string {
	return "another program has " + e.Path + " now, the number of a pseudo-terminal of the program"
}

// TakenPty returns the path of a pseudo-terminal of a group whose number another program has now, or "".
func TakenPty(g *image.Group) string {
	for _, o := range g.Objects {
		if o.Kind != ptyObjects.name {
			continue
		}
		var st unix.Stat_t
		if r, err := ptyRecord(o); err == nil && unix.Stat(r.Path, &st) == nil && st.Rdev == unix.Mkdev(ptsMajor, r.Number) {
			return r.Path
		}
	}
	return ""
}

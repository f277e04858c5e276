package restore

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// descriptors are those that the interpreter inherits. Each has a number that no member uses. So a member that copies them to
// their final numbers never overwrites one that is still needed.
type descriptors struct {
	wanted map[int]bool
	next   int
	placed []int
}

func newDescriptors(all []image.Process) *descriptors {
	d := &descriptors{wanted: make(map[int]bool), next: 3}
	for i := range all {
		for _, of := range all[i].Descriptors {
			d.wanted[of.Fd] = true
		}
	}
	return d
}

// place duplicates a file's descriptor. The duplicate stays open over an exec, and in crak until close.
func (d *descriptors) place(f *os.File) (int, error) {
	for {
		n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, d.next)
		if err != nil {
			return -1, fmt.Errorf("descriptor for %q: %w", f.Name(), err)
		}
		d.next = n + 1
		if !d.wanted[n] {
			d.placed = append(d.placed, n)
			return n, nil
		}
		unix.Close(n)
	}
}

func (d *descriptors) close() {
	for _, n := range d.placed {
		unix.Close(n)
	}
	d.placed = nil
}

// socketPair makes a control socket: our end, and the end that the interpreter inherits.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "control socket"), os.NewFile(uintptr(fds[1]), "control socket"), nil
}

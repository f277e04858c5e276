package restore

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// descriptors are the descriptors that the interpreter inherits. Each has a number that no member uses. So a member that copies
// them to their final numbers never overwrites one that is still needed.
type descriptors struct {
	wanted     map[int]bool
	next       int
	duplicates []int
	shared     []*os.File // their numbers stay open over an exec
	given      []*os.File
}

func newDescriptors(g *image.Group) *descriptors {
	d := &descriptors{wanted: make(map[int]bool), next: 3}
	for i := range g.Processes {
		for _, of := range g.Processes[i].Descriptors {
			d.wanted[of.Fd] = true
		}
	}
	for _, of := range g.Descriptions {
		for _, n := range fd.Refers(of).Numbers {
			d.wanted[n] = true
		}
	}
	return d
}

// share lets the interpreter inherit a file, which crak goes on using. It returns the number in the interpreter: crak's own, unless
// a member uses that one.
func (d *descriptors) share(f *os.File) (int, error) {
	own := int(f.Fd())
	if own > 2 && !d.wanted[own] {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
			return -1, fmt.Errorf("descriptor for %q: %w", f.Name(), err)
		}
		d.shared = append(d.shared, f)
		return own, nil
	}
	for {
		n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, d.next)
		if err != nil {
			return -1, fmt.Errorf("descriptor for %q: %w", f.Name(), err)
		}
		d.next = n + 1
		if !d.wanted[n] {
			d.duplicates = append(d.duplicates, n)
			return n, nil
		}
		unix.Close(n)
	}
}

// give is share for a file that crak itself does not need. close closes it.
func (d *descriptors) give(f *os.File) (int, error) {
	d.given = append(d.given, f)
	return d.share(f)
}

// close is called when the interpreter has inherited the descriptors.
func (d *descriptors) close() {
	for _, n := range d.duplicates {
		unix.Close(n)
	}
	for _, f := range d.shared {
		unix.FcntlInt(f.Fd(), unix.F_SETFD, unix.FD_CLOEXEC)
	}
	for _, f := range d.given {
		f.Close()
	}
	d.duplicates, d.shared, d.given = nil, nil, nil
}

// checkDescriptors finds numbers above crak's hard limit, and groups that take more descriptors than crak may have: the Go
// runtime raises the soft limit.
func checkDescriptors(g *image.Group, env *fd.Env, limit uint64) (all obstacle.List) {
	const raise = "raise the limit: ulimit -Hn"
	for i := range g.Processes {
		p := &g.Processes[i]
		highest := 0
		for _, d := range p.Descriptors {
			highest = max(highest, d.Fd)
		}
		if uint64(highest) >= limit {
			all = append(all, obstacle.Obstacle{Pid: int(p.Pid), Where: fmt.Sprintf("fd %d", highest), What: "descriptor",
				Why: fmt.Sprintf("its number is above the limit of %d", limit), Do: raise})
		}
	}
	if n := newPlan(g, env, int(min(limit, 1<<30))).need; uint64(n) > limit {
		all = append(all, obstacle.Obstacle{What: fmt.Sprintf("group of %d processes", len(g.Processes)),
			Why: fmt.Sprintf("crak restart needs %d descriptors at once, and its limit is %d", n, limit), Do: raise})
	}
	return all
}

// socketPair makes a control socket: crak's end, and the end that the interpreter inherits.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "control socket"), os.NewFile(uintptr(fds[1]), "control socket"), nil
}

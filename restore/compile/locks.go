package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// lockRange is struct flock (fcntl(2)).
type lockRange struct {
	Type, Whence int16
	_            int32
	Start, Len   int64
	Pid          int32
	_            int32
}

// locks restores the locks of a description. Only a process that has it open can do that.
func (c *compiler) locks(d *image.Description) {
	number := program.Const(c.numbers[d.ID][0].Fd)
	for _, l := range d.Locks {
		switch {
		case l.Type == "POSIX" && l.Pid == c.process.Pid:
			c.b.Call(unix.SYS_FCNTL, number, program.Const(unix.F_SETLK), c.set.Struct(lockOf(l)))
		case c.tree.holders[d.ID] == c: // not of a process; l.Pid is the one that took it
			c.ofDescription(l, number)
		}
	}
}

// locksInFlight restores the locks of descriptions that are only in queues.
func (c *compiler) locksInFlight() {
	for _, d := range c.tree.unheld {
		for _, l := range d.Locks {
			c.ofDescription(l, c.placed(d.ID))
		}
	}
}

// ofDescription restores a lock that belongs to a description, and that crak restart does not take. The kernel notes the process that takes
// it. The signal that breaks a lease has the number under which it was taken (si_fd).
func (c *compiler) ofDescription(l image.Lock, number program.Arg) {
	switch l.Type {
	case "FLOCK":
		c.b.Call(unix.SYS_FLOCK, number, program.Const(flockOperation(l))).Note("flock")
	case "LEASE":
		c.b.Call(unix.SYS_FCNTL, number, program.Const(unix.F_SETLEASE), program.Const(fd.LeaseType(l))).Note("lease")
	}
}

// flockOperation is the second argument of flock(2).
func flockOperation(l image.Lock) int {
	if l.Write {
		return unix.LOCK_EX | unix.LOCK_NB
	}
	return unix.LOCK_SH | unix.LOCK_NB
}

func lockOf(l image.Lock) lockRange {
	r := lockRange{Type: unix.F_RDLCK, Start: l.Start}
	if l.Write {
		r.Type = unix.F_WRLCK
	}
	if l.End >= 0 {
		r.Len = l.End - l.Start + 1
	}
	return r
}

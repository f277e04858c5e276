package fd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/restore/program"
)

// PtySlave is the record of a description of the slave side of a pseudo-terminal, if the group has the master.
type PtySlave struct {
	HungUp bool   `json:"hung_up,omitempty"` // the kernel has hung up this description: every call fails or returns 0
	Number uint32 `json:"number,omitempty"`  // of the pseudo-terminal, if the description is hung up
	DevTTY bool   `json:"dev_tty,omitempty"` // only one member has it, and has opened it as /dev/tty
}

// ptyMaster is the master side. A pseudo-terminal has exactly one: each open of /dev/ptmx makes a new pseudo-terminal.
var ptyMaster = kind{
	name: "pty_master",
	is:   func(o *open) bool { return o.pty != nil && o.pty.master == o },
	capture: func(c *capture, o *open) (any, error) {
		if err := c.private(o, "master of pseudo-terminal "+o.pty.path); err != nil {
			return nil, err
		}
		var err error
		c.object, err = c.objectOfPty(o.pty)
		return nil, err
	},
	describe: func(d image.Description) string { return fmt.Sprintf("master of pseudo-terminal %d", d.Object) },
	check: func(d image.Description, env *Env) obstacle.List {
		if _, err := env.known(d.Object, &ptyObjects); err != nil {
			return broken(err)
		}
		return nil
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		p, err := object[*madePty](d.Object, &ptyObjects, env)
		if err != nil {
			return nil, err
		}
		if d.Flags&unix.O_ACCMODE != unix.O_RDWR {
			return nil, errors.New("the master of a pseudo-terminal that is not open for reading and writing")
		}
		return duplicate(p.master)
	},
}

// ptySlave is the slave side, or the controlling terminal of a member that has opened it as /dev/tty.
var ptySlave = kind{
	name: "pty_slave",
	is:   func(o *open) bool { return o.hungUp || o.pty != nil && o.pty.master != o },
	capture: func(c *capture, o *open) (any, error) {
		r := &PtySlave{HungUp: o.hungUp}
		c.askCloseOnExec(o)
		if !r.HungUp && o.handle.asks() {
			events, err := eventsOf(o.handle.fd, 0)
			r.HungUp = err == nil && events&unix.POLLERR != 0 // hung_up_tty_poll in drivers/tty/tty_io.c
		}
		if r.HungUp {
			r.Number = ptyNumber(o.stat.Rdev)
			return r, nil
		}
		r.DevTTY = o.link == devTTY && o.onlyOneMember()
		var err error
		c.object, err = c.objectOfPty(o.pty)
		return r, err
	},
	describe: func(d image.Description) string { return fmt.Sprintf("slave of pseudo-terminal %d", d.Object) },
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[PtySlave](d)
		if err == nil && r.Number >= ptyMost {
			err = fmt.Errorf("description %d: pseudo-terminal %d", d.ID, r.Number)
		}
		if err != nil {
			return nil, err
		}
		if r.HungUp {
			return env.hungUpSlave(r, d.Flags&unix.O_ACCMODE)
		}
		if r.DevTTY {
			return os.Open(os.DevNull) // a placeholder until the member opens /dev/tty
		}
		p, err := object[*madePty](d.Object, &ptyObjects, env)
		if err != nil {
			return nil, err
		}
		return p.slave(d.Flags & (unix.O_ACCMODE | largeFile))
	},
	attach: func(d image.Description, a *Attach) error {
		r, err := record[PtySlave](d)
		if err != nil || !r.DevTTY || r.HungUp {
			return err
		}
		flags := d.Flags&(unix.O_ACCMODE|setFlags) | unix.O_CLOEXEC
		a.Replace(d, a.Call(unix.SYS_OPEN, a.Set.String(devTTY), program.Const(flags), program.Const(0)).Note(devTTY).Keep().Arg())
		return nil
	},
	byMember: func(d image.Description) bool {
		r, err := record[PtySlave](d)
		return err == nil && r.DevTTY && !r.HungUp
	},
}

// askCloseOnExec asks the members for FD_CLOEXEC of their descriptors. /proc may be wrong: if a program has opened the slave by
// TIOCGPTPEER with O_CLOEXEC, /proc shows this flag for every descriptor of the description.
func (c *capture) askCloseOnExec(o *open) {
	for _, h := range o.holders {
		if h.cloex {
			s := h.slot
			c.questions.to(h.of.member).Value(unix.SYS_FCNTL, [6]uint64{uint64(s.fd), unix.F_GETFD}, func(flags int64) { s.cloex = flags&unix.FD_CLOEXEC != 0 })
		}
	}
}

// onlyOneMember tells whether exactly one member has a description.
func (o *open) onlyOneMember() bool {
	for _, h := range o.holders {
		if h.of.member != o.member {
			return false
		}
	}
	return true
}

// A SessionTerminal is the controlling terminal of a session of the group, if the group has its master.
type SessionTerminal struct {
	Session    image.Pid           // the leader of the session is a process of the group
	Foreground image.Pid           // process group, or 0
	Without    []image.Pid         // processes of the session that have no controlling terminal
	Master     image.DescriptionID // ioctl(2) accepts the master in place of the slave for TIOCSCTTY and TIOCSPGRP
}

// SessionTerminals returns the controlling terminals of the sessions of a group.
func SessionTerminals(g *image.Group) (all []SessionTerminal) {
	masters := make(map[image.ObjectID]image.DescriptionID)
	for _, d := range g.Descriptions {
		if d.Kind == ptyMaster.name {
			masters[d.Object] = d.ID
		}
	}
	for _, o := range g.Objects {
		if o.Kind != ptyObjects.name {
			continue
		}
		r, err := ptyRecord(o)
		if master, ok := masters[o.ID]; ok && err == nil && r.Session != 0 {
			all = append(all, SessionTerminal{r.Session, r.Foreground, r.Without, master})
		}
	}
	return all
}

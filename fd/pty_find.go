package fd

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A pty is a pseudo-terminal of which the group has the master.
type pty struct {
	key    ptyKey
	path   string // of the slave, as the members see it: "/dev/pts/3"
	master *open
	slaves []*open // without those that are opened as /dev/tty
	slave  *open   // one of them that is not hung up, while the state is read

	session    image.Pid // whose controlling terminal it is; 0: none
	foreground image.Pid // its foreground process group; 0: none that has a member
	without    []image.Pid
	outside    int // PID of a process outside the group that has the slave open, or 0
	twice      bool
}

// ptyKey identifies a pseudo-terminal: numbers are unique within one instance of devpts.
type ptyKey struct {
	instance uint64 // st_dev
	number   uint32
}

const (
	devPtmx = "/dev/ptmx"
	devPts  = "/dev/pts"
)

// findPtys finds the pseudo-terminals of the group, and which descriptions and sessions belong to them.
func (c *capture) findPtys(descriptions []*open) error {
	all, byDevice := make(map[ptyKey]*pty), make(map[uint64]*pty)
	for _, o := range descriptions {
		if !o.isTTY() || !o.isMultiplexer() {
			continue
		}
		p, err := o.masterOf()
		if errors.Is(err, unix.ENOENT) {
			continue // the kind unsupported refuses it
		}
		if err != nil {
			return err
		}
		o.pty, all[p.key] = p, p
		device := unix.Mkdev(ptsMajor, p.key.number)
		if other := byDevice[device]; other != nil {
			p.twice, other.twice = true, true
		}
		byDevice[device] = p
	}
	for _, o := range descriptions {
		if !o.isTTY() || o.pty != nil {
			continue
		}
		if major, _ := o.rdev(); major >= ptsMajor && major <= ptsMajorLast {
			if p := all[ptyKey{o.stat.Dev, ptyNumber(o.stat.Rdev)}]; p != nil {
				o.pty, p.slaves = p, append(p.slaves, o)
			}
			o.hungUp = o.pty == nil && o.filesystem == unix.DEVPTS_SUPER_MAGIC && strings.HasSuffix(o.link, deletedMark) && c.standardAs(o) < 0
		} else if o.link == devTTY && len(all) > 0 {
			stat, err := o.member.stat()
			if err != nil {
				return err
			}
			o.pty = byDevice[deviceOf(&stat)]
		}
	}
	if len(all) == 0 {
		return nil
	}
	if err := c.findSessions(byDevice); err != nil {
		return err
	}
	c.findOutside(all)
	return nil
}

// isTTY tells whether a description may be of a terminal.
func (o *open) isTTY() bool {
	return o.format() == unix.S_IFCHR && o.flags&unix.O_PATH == 0 && o.override == ""
}

// isMultiplexer tells whether this is a master: /dev/ptmx.
func (o *open) isMultiplexer() bool {
	major, minor := o.rdev()
	return major == auxMajor && minor == 2
}

// deviceOf is the device number of a process's controlling terminal, in the form that stat(2) returns.
func deviceOf(stat *proc.StatInfo) uint64 {
	return unix.Mkdev(unix.Major(uint64(stat.TTY)), unix.Minor(uint64(stat.TTY)))
}

func ptyNumber(device uint64) uint32 {
	return (unix.Major(device)-ptsMajor)<<8 + unix.Minor(device)
}

// masterOf finds out to which pseudo-terminal a master belongs. The kernel looks for devpts beside the device file that was
// opened, if that is not itself in devpts (devpts_acquire in fs/devpts/inode.c).
func (o *open) masterOf() (*pty, error) {
	info, err := o.fdinfo()
	if err != nil {
		return nil, fmt.Errorf("pid %d fd %d: %w", o.member.Pid, o.fd, err)
	}
	number, err := info.number("tty-index", 10)
	if err != nil {
		return nil, fmt.Errorf("pid %d fd %d: %w", o.member.Pid, o.fd, err)
	}
	directory, instance := filepath.Dir(o.link), o.stat.Dev
	if o.filesystem != unix.DEVPTS_SUPER_MAGIC {
		directory += "/pts"
		var st unix.Stat_t
		if err := unix.Stat(o.proc()+"/root"+directory, &st); err != nil {
			return nil, err
		}
		instance = st.Dev
	}
	return &pty{key: ptyKey{instance, uint32(number)}, master: o, path: fmt.Sprintf("%s/%d", directory, number)}, nil
}

// findSessions finds the sessions whose controlling terminals are pseudo-terminals of the group.
func (c *capture) findSessions(byDevice map[uint64]*pty) error {
	type session struct {
		of      *pty
		without []image.Pid
	}
	sessions := make(map[int]*session)
	for _, d := range c.members {
		m := d.member
		stat, err := m.stat()
		if err != nil {
			return err
		}
		s := sessions[stat.Session]
		if s == nil {
			s = &session{}
			sessions[stat.Session] = s
		}
		p := byDevice[deviceOf(&stat)]
		if p == nil {
			if stat.TTY == 0 {
				s.without = append(s.without, image.Pid(m.Inside))
			}
			continue
		}
		s.of = p
		status, err := proc.Read(m.live(), "status", proc.Status)
		if err != nil {
			return err
		}
		p.session = image.Pid(proc.Innermost(status.NSsid, stat.Session))
		if stat.Pgrp == stat.Tpgid {
			p.foreground = image.Pid(proc.Innermost(status.NSpgid, stat.Pgrp))
		}
	}
	for _, s := range sessions {
		if s.of != nil {
			s.of.without = s.without
		}
	}
	return nil
}

// findOutside finds processes outside the group that have a slave open.
func (c *capture) findOutside(all map[ptyKey]*pty) {
	own := make(map[int]bool)
	for _, d := range c.members {
		own[d.member.Pid], own[d.member.live()] = true, true
	}
	byHolders := make(map[*Holders][]*pty)
	for _, p := range all {
		h := p.master.member.Holders
		byHolders[h] = append(byHolders[h], p)
	}
	for h, all := range byHolders {
		var links []string
		for _, p := range all {
			links = append(links, p.path)
		}
		others := cmp.Or(h, new(Holders)).of(links, own)
		for _, p := range all {
			i := slices.IndexFunc(others[p.path], func(o pipeHolder) bool {
				var st unix.Stat_t
				err := unix.Stat(proc.Path(o.pid, "root")+p.path, &st)
				return err != nil || st.Dev == p.key.instance // not the same path in another container
			})
			if i >= 0 {
				p.outside = others[p.path][i].pid
			}
		}
	}
}

// refused says why a pseudo-terminal cannot come back. It is nil if it can.
func (p *pty) refused() error {
	what := "pseudo-terminal " + p.path
	switch {
	case p.outside != 0:
		return obstacle.Obstacle{What: what, Why: processName(p.outside) + ", outside the program, has it open",
			Do: "end that process, or start it with the library as a part of the program"}
	case p.twice:
		return obstacle.Obstacle{What: what, Why: "the program has two pseudo-terminals with this number, of different devpts instances",
			Do: closeIt}
	case p.master.flags&unix.O_ACCMODE != unix.O_RDWR: // input that waits can be read only by taking it out and typing it again
		return obstacle.Obstacle{What: what, Why: "its master is not open for reading and writing", Do: closeIt}
	}
	return nil
}

package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// Terminal is the record of the terminal of a group's root: its controlling terminal, or a terminal that is its stdin,
// stdout or stderr. At a restart it becomes the terminal of crak restart.
type Terminal struct {
	Path        string `json:"path"` // "/dev/pts/3", "/dev/tty"
	Controlling bool   `json:"controlling"`
	Standard    int    `json:"standard"`   // 0, 1 or 2 if it is stdin, stdout or stderr; else -1
	Foreground  bool   `json:"foreground"` // a member was in the terminal's foreground process group
	Modes       *Modes `json:"modes,omitempty"`
}

const (
	ttyMajor     = 4   // consoles and serial lines
	auxMajor     = 5   // /dev/tty 5:0, /dev/console 5:1, /dev/ptmx 5:2
	ptsMajor     = 136 // to 143: pseudo-terminals
	ptsMajorLast = 143
	devTTY       = "/dev/tty"
)

var terminal = kind{
	name:      "terminal",
	inherited: true,
	is:        isTerminal,
	capture:   captureTerminal,
	describe: func(d image.Description) string {
		r, _ := record[Terminal](d)
		return "terminal " + r.Path
	},
	create: createTerminal,
}

func isTerminal(o *open) bool {
	major, minor := o.rdev()
	return o.format() == unix.S_IFCHR && (major >= ptsMajor && major <= ptsMajorLast ||
		major == ttyMajor || major == auxMajor && minor != 2)
}

// controlling is the controlling terminal of the root, from /proc/PID/stat.
type controlling struct {
	device     uint64 // 0: it has none
	foreground bool   // a member is in its foreground process group
}

// controllingTerminal reads the controlling terminal once, when the first terminal is captured.
func (c *capture) controllingTerminal() (*controlling, error) {
	if c.tty != nil {
		return c.tty, nil
	}
	var root proc.StatInfo
	for i, d := range c.members {
		stat, err := d.member.stat()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			root = stat
			// The kernel's new_encode_dev is the same as dev_t of stat(2) for small numbers.
			c.tty = &controlling{device: uint64(root.TTY)}
		}
		if c.tty.device == 0 || root.Tpgid <= 0 {
			break
		}
		c.tty.foreground = c.tty.foreground || stat.Session == root.Session && stat.Pgrp == root.Tpgid
	}
	return c.tty, nil
}

func (m *Member) stat() (proc.StatInfo, error) {
	f, err := os.Open(m.Proc + "/stat")
	if err != nil {
		return proc.StatInfo{}, err
	}
	defer f.Close()
	return proc.Stat(f)
}

// isControlling tells whether a terminal is the controlling terminal of the root. /dev/tty is that of the process that
// opened it: the kernel tells which terminal this is, if there is a handle that can be asked.
func (t *controlling) isControlling(o *open, path string) bool {
	device := o.stat.Rdev
	if path == devTTY {
		device = t.device
		if o.handle.asks() {
			if real, err := unix.IoctlGetInt(o.handle.fd, unix.TIOCGDEV); err == nil {
				device = uint64(uint32(real))
			}
		}
	}
	return t.device != 0 && device == t.device
}

func captureTerminal(c *capture, o *open) (any, error) {
	tty, err := c.controllingTerminal()
	if err != nil {
		return nil, err
	}
	path, _ := o.where()
	r := &Terminal{Path: path, Standard: c.standardAs(o), Controlling: tty.isControlling(o, path)}
	if !r.Controlling && r.Standard < 0 {
		return nil, elsewhere{obstacle.Obstacle{
			What: "terminal " + o.link,
			Why:  "it is neither the controlling terminal of the " + c.rootName() + ", nor its stdin, stdout or stderr",
			Do:   closeIt,
		}}
	}
	r.Foreground = r.Controlling && tty.foreground
	c.askModes(o, r)
	return r, nil
}

// standardAs is 0, 1 or 2 if a character device is the root's stdin, stdout or stderr; else -1.
func (c *capture) standardAs(o *open) int {
	for _, s := range c.members[0].all {
		if s.fd <= 2 && s.of.stat.Rdev == o.stat.Rdev && s.of.format() == unix.S_IFCHR {
			return s.fd
		}
	}
	return -1
}

// rootName is what messages call the root of the group.
func (c *capture) rootName() string {
	if len(c.members) == 1 {
		return "program"
	}
	return fmt.Sprintf("group's root, pid %d", c.members[0].member.Pid)
}

// createTerminal opens the terminal of crak restart anew, so that flags set by the program do not affect the shell.
// Commit sets its modes. If crak restart has no terminal, its stdin, stdout or stderr is used, or else /dev/null.
func createTerminal(d image.Description, env *Env) (*os.File, error) {
	r, err := record[Terminal](d)
	if err != nil {
		return nil, err
	}
	switch {
	case env.Terminal != nil:
		f, err := openTerminal(env.Terminal, r.Path, d.Flags)
		if err == nil && r.Modes != nil && (r.Foreground || env.foreground) && inForeground(f) {
			env.late = append(env.late, func() error { return r.Modes.Set(env.Terminal) })
		}
		return f, err
	case r.Standard >= 0:
		return takeOver(r.Standard, d.Flags, env)
	}
	return openPath(os.DevNull, d.Flags&unix.O_ACCMODE, 0)
}

// openTerminal opens a terminal by its own name if that is possible. If the program had it open as /dev/tty, it does
// so as well.
func openTerminal(f *os.File, was string, flags uint32) (*os.File, error) {
	if was != devTTY {
		if own, err := terminalName(f); err == nil {
			if named, err := openPath(own, flags, 0); err == nil {
				return named, nil
			}
		}
	}
	return reopen(f, flags)
}

// inForeground tells whether crak restart is in the foreground process group of the terminal, and so may set its
// modes.
func inForeground(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// terminalName is the path of the device behind an open /dev/tty.
func terminalName(f *os.File) (string, error) {
	device, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGDEV)
	if err != nil {
		return "", err
	}
	major, minor := unix.Major(uint64(device)), unix.Minor(uint64(device))
	if major < ptsMajor || major > ptsMajorLast {
		return "", unix.ENOTTY
	}
	path := fmt.Sprintf("/dev/pts/%d", (major-ptsMajor)<<8+minor)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Rdev != uint64(device) {
		return "", unix.ENODEV
	}
	return path, nil
}

package fd

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// Terminal is the record of the terminal that the program is used from: its controlling terminal, or one
// on stdin, stdout or stderr. At a restart it becomes the one crak restart runs from.
type Terminal struct {
	Path        string `json:"path"` // "/dev/pts/3", "/dev/tty"
	Controlling bool   `json:"controlling"`
	Standard    int    `json:"standard"` // 0, 1, 2 where it is stdin, stdout or stderr; else -1
	Modes       *Modes `json:"modes,omitempty"`
}

// Modes is what the terminal's driver keeps (ioctl_tty(2)).
type Modes struct {
	Termios []byte `json:"termios"` // struct termios2 of TCGETS2
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

const (
	ttyMajor     = 4          // consoles and serial lines
	auxMajor     = 5          // /dev/tty 5:0, /dev/console 5:1, /dev/ptmx 5:2
	ptsMajor     = 136        // to 143: pseudo-terminals
	ptsMajorLast = 143        //
	tcgets2      = 0x802c542a // TCGETS2 of asm-generic/ioctls.h
	tcsets2      = 0x402c542b // TCSETS2
	termiosSize  = 44         // sizeof(struct termios2)
	winsizeSize  = 8          // sizeof(struct winsize)
)

var terminal = kind{
	name:    "terminal",
	outer:   true,
	is:      isTerminal,
	capture: captureTerminal,
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

// controlling is the controlling terminal of a process, as its stat tells.
type controlling struct{ device uint64 }

// controllingTerminal reads it once, when the first terminal is seen.
func (c *capture) controllingTerminal() (*controlling, error) {
	if c.tty != nil {
		return c.tty, nil
	}
	f, err := os.Open(c.Proc + "/stat")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stat, err := proc.Stat(f)
	if err != nil {
		return nil, err
	}
	// The kernel's new_encode_dev is the same as dev_t of stat(2) for small numbers.
	c.tty = &controlling{device: uint64(stat.TTY)}
	return c.tty, nil
}

func captureTerminal(c *capture, g shared) (any, error) {
	o := g.first()
	tty, err := c.controllingTerminal()
	if err != nil {
		return nil, err
	}
	path, _ := o.where(c.Member)
	r := &Terminal{Path: path, Standard: -1}
	r.Controlling = tty.device != 0 && (o.stat.Rdev == tty.device || path == "/dev/tty")
	for _, other := range c.all {
		if other.fd <= 2 && other.stat.Rdev == o.stat.Rdev && other.format() == unix.S_IFCHR {
			r.Standard = other.fd
			break
		}
	}
	if !r.Controlling && r.Standard < 0 {
		return nil, obstacle.Obstacle{
			What: "terminal " + o.link,
			Why:  "it is not the one that the program is used from",
			Do:   "close it before the checkpoint",
		}
	}
	c.askModes(o, r)
	return r, nil
}

// askModes asks for termios and the window's size.
func (c *capture) askModes(o *open, r *Terminal) {
	modes := &Modes{}
	c.questions.ioctl(o.fd, tcgets2, termiosSize, func(result int64, data []byte) {
		if result == 0 {
			modes.Termios = append([]byte(nil), data...)
			r.Modes = modes
		}
	})
	c.questions.ioctl(o.fd, unix.TIOCGWINSZ, winsizeSize, func(result int64, data []byte) {
		if result == 0 {
			modes.Rows = uint16(data[0]) | uint16(data[1])<<8
			modes.Columns = uint16(data[2]) | uint16(data[3])<<8
		}
	})
}

// createTerminal opens the terminal of crak restart anew, so that flags set by the program do not show in the shell. Without a
// terminal there is crak restart's own stdin, stdout or stderr, and at last /dev/null.
func createTerminal(d image.Description, env *Env) (*os.File, error) {
	r, err := record[Terminal](d)
	if err != nil {
		return nil, err
	}
	switch {
	case env.Terminal != nil:
		return reopen(env.Terminal, d.Flags)
	case r.Standard >= 0:
		return takeOver(r.Standard, d.Flags, env)
	}
	return openPath(os.DevNull, d.Flags&unix.O_ACCMODE, 0)
}

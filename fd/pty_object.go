package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Pty is the record of a pseudo-terminal: a master and its slave.
type Pty struct {
	Path        string `json:"path"`        // of the slave: "/dev/pts/3"
	Multiplexer string `json:"multiplexer"` // what the master was opened as: "/dev/ptmx"
	Number      uint32 `json:"number"`

	Termios []byte   `json:"termios"` // struct termios2, of the slave. That of a master never changes
	Size    []uint16 `json:"size"`    // rows, columns, pixels across, pixels down
	Mode    uint32   `json:"mode"`    // permissions of the slave
	UID     uint32   `json:"uid"`
	GID     uint32   `json:"gid"`

	Opened          bool `json:"opened,omitempty"` // a process has opened the slave
	Closed          bool `json:"closed,omitempty"` // and all have closed it: reading the master fails with EIO
	Locked          bool `json:"locked,omitempty"` // unlockpt(3) has not been called
	Packet          bool `json:"packet,omitempty"` // TIOCPKT
	Exclusive       bool `json:"exclusive,omitempty"`
	ExclusiveMaster bool `json:"exclusive_master,omitempty"` // TIOCEXCL of the master, which has no effect

	Lines   []int `json:"lines,omitempty"`   // in canonical mode: sizes of the lines that wait for the slave to read them
	Input   int   `json:"input,omitempty"`   // bytes of the content that wait for the slave. The others wait for the master
	Stopped bool  `json:"stopped,omitempty"` // output is stopped: ^S, or TCOOFF of tcflow(3)
	Held    bool  `json:"held,omitempty"`    // and it was TCOOFF: only TCOON starts it again

	Session    image.Pid   `json:"session,omitempty"`    // whose controlling terminal it is
	Foreground image.Pid   `json:"foreground,omitempty"` // process group
	Without    []image.Pid `json:"without,omitempty"`    // processes of the session that have no controlling terminal
}

const (
	tiocgptlck  = 0x80045439 // TIOCGPTLCK of asm-generic/ioctls.h
	tiocgpkt    = 0x80045438 // TIOCGPKT
	tiocgexcl   = 0x80045440 // TIOCGEXCL
	tiocgptpeer = 0x5441     // TIOCGPTPEER
	ptyMost     = 1 << 20    // NR_UNIX98_PTY_MAX of the kernel
)

// IsPty tells whether an object is a pseudo-terminal.
func IsPty(o image.Object) bool { return o.Kind == ptyObjects.name }

var ptyObjects = objectKind{
	name: "pty",
	check: func(o image.Object) error {
		_, err := ptyRecord(o)
		return err
	},
	refers: func(o image.Object) References {
		r, err := ptyRecord(o)
		if err != nil || r.Session == 0 {
			return References{}
		}
		return References{Processes: append([]image.Pid{r.Session}, r.Without...)}
	},
}

// init sets what refers to ptyObjects itself.
func init() {
	ptyObjects.make = func(o image.Object, env *Env) (madeObject, error) {
		r, err := ptyRecord(o)
		if err != nil {
			return nil, err
		}
		p, err := env.ptyNumbered(r.Multiplexer, r.Number)
		if err != nil {
			return nil, err
		}
		p.record = r
		if err := p.prepare(env); err != nil {
			p.close()
			return nil, err
		}
		return p, nil
	}
}

func ptyRecord(o image.Object) (Pty, error) {
	r, err := decode[Pty](o.Record)
	switch {
	case err != nil:
		return r, fmt.Errorf("record of a pseudo-terminal: %w", err)
	case len(r.Termios) != termiosSize || len(r.Size) != 4:
		return r, fmt.Errorf("pseudo-terminal: modes of %d bytes, size of %d numbers", len(r.Termios), len(r.Size))
	case r.Number >= ptyMost || r.Path != filepath.Clean(r.Path) || filepath.Base(r.Path) != fmt.Sprint(r.Number) ||
		!strings.HasPrefix(r.Path, "/") || !strings.HasPrefix(r.Multiplexer, "/"):
		return r, fmt.Errorf("pseudo-terminal %d: path %.100q, multiplexer %.100q", r.Number, r.Path, r.Multiplexer)
	case r.Mode&^0o7777 != 0 || r.Closed && !r.Opened || r.Held && !r.Stopped || r.Session < 0 || r.Foreground < 0 || r.Session == 0 && r.Foreground+image.Pid(len(r.Without)) != 0:
		return r, errors.New("pseudo-terminal: an impossible state")
	}
	total := 0
	for _, n := range r.Lines {
		if n < 0 || n > ptyQueue {
			return r, fmt.Errorf("pseudo-terminal: a line of %d bytes", n)
		}
		total += n
	}
	if o.Size > 2*ptyQueue || r.Input < total || uint64(r.Input) > o.Size || total > 0 && !isCanonical(r.Termios) || o.Size > 0 && !r.Opened {
		return r, fmt.Errorf("pseudo-terminal: %d bytes, %d of them input, in lines %d", o.Size, r.Input, total)
	}
	return r, nil
}

// objectOfPty returns the object of a pseudo-terminal. The description that is being captured may be the master or a slave.
func (c *capture) objectOfPty(p *pty) (image.ObjectID, error) {
	if err := p.refused(); err != nil {
		return 0, err
	}
	key := objectKey{ptyObjects.name, Inode{p.key.instance, uint64(p.key.number)}}
	return c.objectWith(key, &ptyObjects, func() (any, []byte, error) { return c.lookAtPty(p) })
}

// hold takes a handle of a description for a moment, if the description that is being captured is another one.
func (c *capture) holdForNow(o *open) (release func(), err error) {
	if o.handle.fd >= 0 {
		return func() {}, nil
	}
	return o.release, c.handles.take(o)
}

// lookAtPty returns the record and the content.
func (c *capture) lookAtPty(p *pty) (any, []byte, error) {
	m := p.master
	r := &Pty{Path: p.path, Multiplexer: m.link, Number: p.key.number, Session: p.session, Foreground: p.foreground, Without: p.without}
	if m.member.Calls == nil {
		return r, nil, nil
	}
	release, err := c.holdForNow(m)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if !m.handle.asks() {
		return nil, nil, obstacle.Obstacle{What: "pseudo-terminal " + p.path,
			Why: "the kernel does not let crak take a handle of it (pidfd_getfd)", Do: "run the program, or its container, without the seccomp filter that forbids this call"}
	}
	if err := r.look(m.handle.fd, p); err != nil {
		return nil, nil, fmt.Errorf("pid %d fd %d: pseudo-terminal: %w", m.member.Pid, m.fd, err)
	}
	for _, o := range p.slaves {
		release, err := c.holdForNow(o)
		if err != nil {
			return nil, nil, err
		}
		defer release()
		if n, err := unix.IoctlGetInt(o.handle.fd, tiocgexcl); err == nil { // it fails on one that is hung up
			p.slave, r.Exclusive = o, n != 0
			break
		}
	}
	content, err := c.ptyContent(p, r)
	var lasting obstacle.Obstacle
	if errors.As(err, &lasting) {
		return nil, nil, lasting
	}
	if err != nil {
		return nil, nil, obstacle.Obstacle{What: "pseudo-terminal " + p.path, Why: "what waits in it cannot be read: " + err.Error(), Do: "try again a moment later", Passes: true}
	}
	return r, content, nil
}

// look asks for the state through a handle of the master.
func (r *Pty) look(master int, p *pty) error {
	r.Termios = make([]byte, termiosSize)
	if err := ioctlBytes(master, tcgets2, r.Termios); err != nil {
		return fmt.Errorf("TCGETS2: %w", err)
	}
	size := make([]byte, winsizeSize)
	if err := ioctlBytes(master, unix.TIOCGWINSZ, size); err != nil {
		return fmt.Errorf("TIOCGWINSZ: %w", err)
	}
	for i := range 4 {
		r.Size = append(r.Size, binary.NativeEndian.Uint16(size[2*i:]))
	}
	for request, state := range map[uint]*bool{tiocgptlck: &r.Locked, tiocgpkt: &r.Packet, tiocgexcl: &r.ExclusiveMaster} {
		n, err := unix.IoctlGetInt(master, request)
		if err != nil {
			return fmt.Errorf("ioctl %#x: %w", request, err)
		}
		*state = n != 0
	}
	st, err := statPeer(master)
	if err != nil {
		return err
	}
	if st.Dev != p.key.instance || ptyNumber(st.Rdev) != p.key.number {
		return fmt.Errorf("its slave is not %s", p.path)
	}
	r.Mode, r.UID, r.GID = st.Mode&0o7777, st.Uid, st.Gid
	events, err := eventsOf(master, 0)
	if err != nil {
		return err
	}
	r.Closed = events&unix.POLLHUP != 0 // TTY_OTHER_CLOSED in the kernel's pty.c
	r.Opened = r.Closed || len(p.slaves) > 0 || p.session != 0
	return nil
}

// statPeer looks at the slave of a master without opening it: the first open and the last close of a slave change what the
// master returns.
func statPeer(master int) (st unix.Stat_t, err error) {
	peer, err := openPeer(master, unix.O_PATH)
	if err == nil {
		err = unix.Fstat(peer, &st)
		unix.Close(peer)
	}
	return st, err
}

// openPeer opens the slave of a master. The kernel would keep O_CLOEXEC as a flag of the description, which /proc then shows for every
// descriptor of it. So it is set afterwards, while no process of crak's is executed.
func openPeer(master int, flags int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), tiocgptpeer, uintptr(flags|unix.O_NOCTTY))
	if errno != 0 {
		return -1, fmt.Errorf("TIOCGPTPEER: %w", errno)
	}
	unix.CloseOnExec(int(n))
	return int(n), nil
}

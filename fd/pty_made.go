package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A madePty is a new pseudo-terminal.
type madePty struct {
	record Pty
	master *os.File
	hold   int // descriptor of the slave, until all is made; 0: nobody has opened it
}

// prepare sets what must be there before descriptions of the slave are made.
func (p *madePty) prepare(e *Env) error {
	r, master := &p.record, int(p.master.Fd())
	peer, err := openPeer(master, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(peer)
	path := fmt.Sprintf("/proc/self/fd/%d", peer)
	var st unix.Stat_t
	if err := unix.Fstat(peer, &st); err != nil {
		return err
	}
	if st.Uid != r.UID || st.Gid != r.GID {
		if err := unix.Chown(path, int(r.UID), int(r.GID)); err != nil {
			e.Tell(fmt.Sprintf("%s belongs to user %d, group %d, and belonged to user %d, group %d: %v", r.Path, st.Uid, st.Gid, r.UID, r.GID, err))
		}
	}
	if err := unix.Chmod(path, r.Mode); err != nil {
		return fmt.Errorf("%s: chmod: %w", r.Path, err)
	}
	if r.Opened {
		p.hold, err = openPeer(int(p.master.Fd()), unix.O_RDWR|unix.O_NONBLOCK)
	}
	return err
}

// slave makes a description of the slave. mode has O_LARGEFILE if open(2) has made it.
func (p *madePty) slave(mode uint32) (*os.File, error) {
	n, err := openPeer(int(p.master.Fd()), int(mode)|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return blocking(n, p.record.Path)
}

// fill sets the rest of the state, and puts the content in.
func (p *madePty) fill(o image.Object, e *Env) error {
	r, master := &p.record, int(p.master.Fd())
	size := &unix.Winsize{Row: r.Size[0], Col: r.Size[1], Xpixel: r.Size[2], Ypixel: r.Size[3]}
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("TIOCSWINSZ: %w", err)
	}
	if o.Size > 0 || len(r.Lines) > 0 {
		content, err := e.Content(o.ID, int(o.Size))
		if err == nil {
			err = p.putContent(content)
		}
		if err != nil {
			return err
		}
	}
	if err := ioctlBytes(master, tcsets2, r.Termios); err != nil {
		return fmt.Errorf("TCSETS2: %w", err)
	}
	if r.Stopped && r.Opened {
		if err := p.stop(); err != nil {
			return fmt.Errorf("stop its output: %w", err)
		}
	}
	for _, s := range []struct {
		on   bool
		side int
	}{{r.ExclusiveMaster, master}, {r.Exclusive && r.Opened, p.hold}} {
		if s.on {
			if err := unix.IoctlSetInt(s.side, unix.TIOCEXCL, 0); err != nil {
				return fmt.Errorf("TIOCEXCL: %w", err)
			}
		}
	}
	if r.Packet {
		if err := unix.IoctlSetPointerInt(master, unix.TIOCPKT, 1); err != nil {
			return fmt.Errorf("TIOCPKT: %w", err)
		}
	}
	if r.Locked {
		if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 1); err != nil {
			return fmt.Errorf("TIOCSPTLCK: %w", err)
		}
	}
	return nil
}

func (p *madePty) close() {
	p.master.Close()
	if p.hold > 0 {
		unix.Close(p.hold)
	}
}

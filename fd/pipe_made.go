package fd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A madePipe is a new pipe, or a FIFO, of the group.
type madePipe struct {
	record PipeObject
	ends   [2]*os.File // read end and write end of pipe2(2); nil for a FIFO, and when description has returned them
	whole  *os.File    // for reading and writing, or for reading (onlyRead)
}

// open makes the pipe, or opens the FIFO.
func (p *madePipe) open(e *Env) (err error) {
	const both = unix.O_RDWR | unix.O_NONBLOCK
	r := &p.record
	if r.File != nil && r.File.Deleted {
		if p.whole, err = unlinked(r.File.Path, createUnlinkedFIFO, e.Tell); err == nil {
			err = e.setAttributes(p.whole, *r.File, r.Attributes)
		}
		return err
	}
	if r.File != nil {
		p.whole, err = openAt(r.File.Path, both, func(st *unix.Stat_t) error {
			if st.Mode&unix.S_IFMT != unix.S_IFIFO {
				return fmt.Errorf("%s: not a FIFO any more", r.File.Path)
			}
			if err := r.checkOwner(st.Uid); err != nil {
				return fmt.Errorf("%s: %w", r.File.Path, err)
			}
			return nil
		})
		return err
	}
	var made [2]int
	if err := unix.Pipe2(made[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	for i := range made {
		p.ends[i] = os.NewFile(uintptr(made[i]), "pipe")
	}
	p.whole, err = reopen(p.ends[0], both)
	return err
}

// onlyRead replaces the description for reading and writing by one for reading. The kernel reports POLLHUP to a read end unless it was
// opened with O_NONBLOCK and nobody has had the FIFO open for writing since (fifo_open and pipe_poll in fs/pipe.c).
func (p *madePipe) onlyRead() error {
	for range 2 { // the first one is opened while the FIFO is open for writing
		f, err := reopen(p.whole, unix.O_RDONLY)
		if err != nil {
			return err
		}
		p.whole.Close()
		p.whole = f
	}
	return nil
}

// isFor checks that users of lesser rights may have the FIFO.
func (p *madePipe) isFor(who lessers, flags uint32) error {
	r := &p.record
	if r.File == nil || r.File.Deleted || len(who) == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(p.whole.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: r.File.Path, Err: err}
	}
	return who.gain(compare(*r.File, &st), accessMode(flags)).Err()
}

// description returns an end. The ends that pipe2 made have no O_LARGEFILE. All others are opened through /proc,
// which sets it.
func (p *madePipe) description(flags uint32) (*os.File, error) {
	mode := flags & unix.O_ACCMODE
	if flags&largeFile == 0 && mode <= unix.O_WRONLY {
		if f := p.ends[mode]; f != nil {
			p.ends[mode] = nil
			return f, nil
		}
	}
	return reopen(p.whole, mode)
}

func (p *madePipe) close() {
	for _, f := range append(p.ends[:], p.whole) {
		if f != nil {
			f.Close()
		}
	}
}

// resize sets the capacity. It comes before the next pipe is made: a user with many pipes gets only small ones from some number on
// (pipe(7), pipe-user-pages-soft), and those that the program had made small leave room for others.
func (p *madePipe) resize(content uint64, e *Env) error {
	want, f := p.record.Capacity, p.whole
	now, err := unix.FcntlInt(f.Fd(), unix.F_GETPIPE_SZ, 0)
	if err == nil && now != want {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, want)
	}
	if errors.Is(err, unix.EPERM) && content <= uint64(now) {
		e.Tell(fmt.Sprintf("pipes with a capacity of %d bytes have %d now: %v", want, now, err))
		err = nil
	}
	if err != nil {
		return fmt.Errorf("capacity of %d bytes: %w", want, err)
	}
	return nil
}

// fill writes the content.
func (p *madePipe) fill(o image.Object, e *Env) error {
	r, f := &p.record, p.whole
	if o.Size == 0 {
		return nil
	}
	if waiting, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ); err != nil || waiting != 0 {
		return errors.New("another process has written to this FIFO since the checkpoint")
	}
	content, err := e.Content(o.ID, int(o.Size))
	if err != nil {
		return err
	}
	if len(r.Slots) > 0 && r.slotsFit() {
		return r.fillSlots(int(f.Fd()), content)
	}
	packets, mode := r.Packets, unix.O_NONBLOCK
	if packets == nil {
		packets = []int{len(content)}
	} else {
		mode |= unix.O_DIRECT
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, mode); err != nil {
		return fmt.Errorf("F_SETFL: %w", err)
	}
	for _, n := range packets {
		if written, err := unix.Write(int(f.Fd()), content[:n]); err != nil || written != n {
			return fmt.Errorf("%d bytes of %d written: %w", written, n, err)
		}
		content = content[n:]
	}
	return nil
}

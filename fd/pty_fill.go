package fd

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ptyTimeout bounds the waits for the kernel to deliver what crak has written to a pseudo-terminal.
const ptyTimeout = 10 * time.Second

// putContent puts the content into both queues. Meanwhile the terminal has modes that change no byte.
func (p *madePty) putContent(content []byte) error {
	r, master := &p.record, int(p.master.Fd())
	input, output := content[:r.Input], content[r.Input:]
	flags, err := unix.FcntlInt(uintptr(master), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(master), unix.F_SETFL, flags|unix.O_NONBLOCK)
	}
	if err != nil {
		return fmt.Errorf("F_SETFL: %w", err)
	}
	defer unix.FcntlInt(uintptr(master), unix.F_SETFL, flags)
	if err := ioctlBytes(master, tcsets2, typeModes(r.Termios)); err != nil {
		return fmt.Errorf("TCSETS2: %w", err)
	}
	if err := p.putInput(input); err != nil {
		return err
	}
	return ptyWrite(p.hold, output, ptyWrites(len(output)))
}

func (p *madePty) putInput(input []byte) error {
	r, master := &p.record, int(p.master.Fd())
	if !isCanonical(r.Termios) {
		if err := ptyWrite(master, input, ptyWrites(len(input))); err != nil {
			return err
		}
		return awaitInput(p.hold, min(len(input), ptyFull), len(input) > 0)
	}
	t := typed(input, r.Lines)
	if err := ptyWrite(master, t.keys, t.writes); err != nil {
		return err
	}
	if len(r.Lines) > 0 {
		return awaitInput(p.hold, t.arrive, true)
	}
	_, err := ptyEvents(p.hold) // poll(2) finds no line to read, so it waits until the kernel's worker has moved all
	return err
}

// awaitInput waits until FIONREAD of the slave reports this number of bytes. Only poll(2) shows a line of no bytes, which is an end of file.
func awaitInput(slave, bytes int, readable bool) error {
	for deadline := time.Now().Add(ptyTimeout); ; time.Sleep(time.Millisecond) { // no event tells how many bytes have arrived
		events, err := ptyEvents(slave)
		if err != nil {
			return err
		}
		present, err := unix.IoctlGetInt(slave, unix.TIOCINQ)
		if err != nil {
			return err
		}
		if present >= bytes && (!readable || events&unix.POLLIN != 0) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d bytes of input have arrived", present, bytes)
		}
	}
}

// ptyWrite writes to one side of a pseudo-terminal, in writes of these sizes. Preconditions: the description of that side has O_NONBLOCK.
func ptyWrite(terminal int, text []byte, sizes []int) error {
	deadline := time.Now().Add(ptyTimeout)
	for _, size := range sizes {
		for left := text[:size]; len(left) > 0; {
			n, err := unix.Write(terminal, left)
			if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
				return err
			}
			if left = left[max(n, 0):]; n > 0 {
				continue
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%d bytes have no room", len(left))
			}
			time.Sleep(time.Millisecond) // the kernel's worker moves bytes to the queue, and no event tells when it has done so
		}
		text = text[size:]
	}
	return nil
}

// stop stops the output again, as TCOOFF does or as the STOP character does, if the modes have one.
func (p *madePty) stop() error {
	r := &p.record
	if c := r.Termios[atCc+unix.VSTOP]; flagsAt(r.Termios, atIflag)&unix.IXON != 0 && c != 0 && !r.Held {
		if err := ptyWrite(int(p.master.Fd()), []byte{c}, []int{1}); err != nil {
			return err
		}
		for deadline := time.Now().Add(ptyTimeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) { // no event tells that output is stopped
			if events, err := ptyEvents(p.hold); err != nil || events&unix.POLLOUT == 0 {
				return err
			}
		}
		return errors.New("output does not stop")
	}
	return unix.IoctlSetInt(p.hold, unix.TCXONC, tcooff)
}

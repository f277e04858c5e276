package fd

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ptyPatience bounds the waits for the kernel to deliver what crak has written to a pseudo-terminal.
const ptyPatience = 10 * time.Second

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
	if err := ioctlBytes(master, tcsets2, typeModes(r.Termios, len(input))); err != nil {
		return fmt.Errorf("TCSETS2: %w", err)
	}
	if err := p.putInput(input); err != nil {
		return err
	}
	return ptyWrite(p.hold, output)
}

func (p *madePty) putInput(input []byte) error {
	r, slave := &p.record, p.hold
	lines, rest := input, []byte(nil)
	if isCanonical(r.Termios) {
		total := 0
		for _, n := range r.Lines {
			total += n
		}
		lines, rest = input[:total], input[total:]
		lines = typed(lines, r.Lines)
		if err := ptyWrite(int(p.master.Fd()), lines); err != nil {
			return err
		}
		if err := awaitInput(slave, total, len(r.Lines) > 0); err != nil {
			return err
		}
		if err := ptyWrite(int(p.master.Fd()), quoted(nil, rest)); err != nil || len(rest) == 0 {
			return err
		}
		if len(lines) > 0 {
			time.Sleep(20 * time.Millisecond) // no call tells when the beginning of a line has arrived after whole lines
			return nil
		}
		_, err := ptyEvents(slave) // poll(2) finds no line to read, so it waits until the kernel's worker has run
		return err
	}
	if err := ptyWrite(int(p.master.Fd()), lines); err != nil {
		return err
	}
	return awaitInput(slave, len(lines), len(lines) > 0)
}

// awaitInput waits until the slave can read this number of bytes. Only poll(2) shows a line of no bytes, which is an end of file.
func awaitInput(slave, bytes int, readable bool) error {
	for begun := time.Now(); ; time.Sleep(time.Millisecond) { // no event tells how many bytes have arrived
		events, err := ptyEvents(slave)
		if err != nil {
			return err
		}
		present, err := unix.IoctlGetInt(slave, unix.TIOCINQ)
		if err != nil {
			return err
		}
		if bytes > ptyFull/2 && time.Since(begun) > 50*time.Millisecond && present > 0 {
			return nil // the queue may be full; the rest waits in the kernel's buffers before it
		}
		if present >= bytes && (!readable || bytes > 0 || events&unix.POLLIN != 0) {
			return nil
		}
		if time.Since(begun) > ptyPatience {
			return fmt.Errorf("%d of %d bytes of input have arrived", present, bytes)
		}
	}
}

// ptyWrite writes to one side of a pseudo-terminal. Preconditions: the description of that side has O_NONBLOCK.
func ptyWrite(terminal int, text []byte) error {
	first := ptyFull
	for deadline := time.Now().Add(ptyPatience); len(text) > 0; {
		n, err := unix.Write(terminal, text[:min(len(text), ptyChunk, cmp.Or(first, ptyChunk))])
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return err
		}
		text = text[max(n, 0):]
		if first > 0 && n > 0 {
			if first -= min(n, first); first == 0 {
				n = 0 // the kernel's worker must move these bytes to the queue as a whole
			}
		}
		if n <= 0 {
			if time.Now().After(deadline) {
				return fmt.Errorf("%d bytes have no room", len(text))
			}
			time.Sleep(time.Millisecond) // the kernel's worker moves bytes to the queue, and no event tells when it has done so
		}
	}
	return nil
}

// stop stops the output again, as TCOOFF does or as the STOP character does, if the modes have one.
func (p *madePty) stop() error {
	r := &p.record
	if c := r.Termios[atCc+unix.VSTOP]; flagsAt(r.Termios, atIflag)&unix.IXON != 0 && c != 0 && !r.Held {
		if err := ptyWrite(int(p.master.Fd()), []byte{c}); err != nil {
			return err
		}
		for deadline := time.Now().Add(ptyPatience); time.Now().Before(deadline); time.Sleep(time.Millisecond) { // no event tells that output is stopped
			if events, err := ptyEvents(p.hold); err != nil || events&unix.POLLOUT == 0 {
				return err
			}
		}
		return errors.New("output does not stop")
	}
	return unix.IoctlSetInt(p.hold, unix.TCXONC, tcooff)
}

package fd

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Modes is what the terminal driver keeps (ioctl_tty(2)).
type Modes struct {
	Termios []byte `json:"termios"` // struct termios2 of TCGETS2
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

const (
	tcgets2     = 0x802c542a // TCGETS2 of asm-generic/ioctls.h
	tcsets2     = 0x402c542b // TCSETS2
	termiosSize = 44         // sizeof(struct termios2)
	winsizeSize = 8          // sizeof(struct winsize)
)

// askModes asks for termios and the window size.
func (c *capture) askModes(o *open, r *Terminal) {
	modes := &Modes{}
	c.questions.ioctl(o, tcgets2, termiosSize, func(result int64, data []byte) {
		if result == 0 {
			modes.Termios = append([]byte(nil), data...)
			r.Modes = modes
		}
	})
	c.questions.ioctl(o, unix.TIOCGWINSZ, winsizeSize, func(result int64, data []byte) {
		if result == 0 {
			modes.Rows = uint16(data[0]) | uint16(data[1])<<8
			modes.Columns = uint16(data[2]) | uint16(data[3])<<8
		}
	})
}

// Set sets the modes of a terminal, but not its size, which is that of the present window. SIGTTOU stops a caller in
// the background unless the caller ignores or blocks it.
func (m *Modes) Set(f *os.File) error { return termios(f, tcsets2, m.Termios) }

func termios(f *os.File, request uintptr, data []byte) error {
	if len(data) != termiosSize {
		return fmt.Errorf("terminal %s: modes of %d bytes, not %d", f.Name(), len(data), termiosSize)
	}
	if err := ioctlBytes(int(f.Fd()), request, data); err != nil {
		return fmt.Errorf("terminal %s: modes: %w", f.Name(), err)
	}
	return nil
}

// ioctlBytes is ioctl(2) with a buffer.
func ioctlBytes(fd int, request uintptr, data []byte) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&data[0]))); errno != 0 {
		return errno
	}
	return nil
}

package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal that a program runs on. Its output is written to a file.
type terminal struct {
	keys   *os.File // the master side
	screen *os.File // the slave side, kept open so that the master outlives the program
	record *os.File
	copied chan error
}

// terminalLag is longer than the last output of a program takes from the terminal to the file.
const terminalLag = 200 * time.Millisecond

// newTerminal opens a pseudo-terminal of 24 lines and 80 columns for the identity.
func newTerminal(id Identity, record string) (*terminal, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	t := &terminal{keys: os.NewFile(uintptr(fd), "/dev/ptmx"), copied: make(chan error, 1)}
	if err := t.open(fd, id, record); err != nil {
		t.keys.Close()
		return nil, err
	}
	go func() { t.copied <- t.copy() }()
	return t, nil
}

// copy writes the output of the terminal to the file. When a session leader is killed, the kernel hangs up the slave side
// (tty_vhangup_session): reading the master fails with EIO until the slave is opened again.
func (t *terminal) copy() error {
	for {
		_, err := io.Copy(t.record, t.keys)
		if !errors.Is(err, unix.EIO) {
			return err
		}
		time.Sleep(time.Millisecond) // poll(2) reports POLLHUP until then: there is no event for the opening of the slave
	}
}

func (t *terminal) open(master int, id Identity, record string) error {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("pty: unlock: %w", err)
	}
	n, err := unix.IoctlGetUint32(master, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("pty: number: %w", err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	if err := id.own(path); err != nil {
		return err
	}
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		return fmt.Errorf("%s: size: %w", path, err)
	}
	if t.screen, err = os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return err
	}
	t.record, err = os.OpenFile(record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	return err
}

// connect starts cmd in a new session, with this terminal as its controlling terminal.
func (t *terminal) connect(cmd *exec.Cmd) error {
	screen, err := os.OpenFile(t.screen.Name(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr.Setpgid = false
	cmd.SysProcAttr.Setsid = true
	cmd.SysProcAttr.Setctty = true
	return nil
}

// typed writes keys to the terminal, as if they were typed.
func (t *terminal) typed(keys string) error {
	_, err := io.WriteString(t.keys, keys)
	return err
}

func (t *terminal) close() error {
	t.screen.Close()
	t.keys.Close()
	err := <-t.copied
	if errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EIO) {
		err = nil
	}
	return errors.Join(err, t.record.Close())
}

package fd

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/resident"
)

// ReadModes reads the present modes of a terminal.
func ReadModes(f *os.File) (*Modes, error) {
	m := &Modes{Termios: make([]byte, termiosSize)}
	if err := termios(f, tcgets2, m.Termios); err != nil {
		return nil, err
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return nil, fmt.Errorf("terminal %s: window size: %w", f.Name(), err)
	}
	m.Rows, m.Columns = size.Row, size.Col
	return m, nil
}

// Capture does all three steps for a single process.
func Capture(m *Member, table *Table) ([]image.Descriptor, error) {
	d, err := Look(m)
	if err != nil {
		return nil, err
	}
	if m.Calls != nil {
		var q resident.Questions
		d.Ask(&q)
		if err := q.Put(m.Calls); err != nil {
			return nil, fmt.Errorf("pid %d: descriptors: %w", m.Pid, err)
		}
	}
	all, err := CaptureGroup([]*Descriptors{d}, table)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// Make makes a new open file description like the recorded one: same file, access mode, flags, offset and locks. Its
// descriptor is close-on-exec.
func Make(d image.Description, env *Env) (*os.File, error) {
	all, err := MakeAll([]image.Description{d}, env)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// ConnectWithin connects a TCP socket.
func ConnectWithin(socket int, to netip.AddrPort) error {
	address, err := inetSockaddr(unix.AF_INET, to)
	if err != nil {
		return err
	}
	return connectWithin(socket, &address)
}

// RenameWith is renameWith.
var RenameWith = renameWith

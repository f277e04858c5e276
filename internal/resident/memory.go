package resident

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// Memory is the memory of a process, opened by somebody who may trace it.
type Memory struct {
	file *os.File
	base uint64 // of libcrak.so
}

// OpenMemory opens the memory of process pid. The kernel asks what it asks of a tracer (ptrace(2), PTRACE_MODE_ATTACH). It
// asks now, and not as the memory is read: whoever gives up privileges opens it before.
func OpenMemory(pid int) (*Memory, error) {
	live, f, err := openMem(pid)
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	mappings, err := proc.Read(live, "maps", proc.Maps)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	base, ok := FindLibrary(mappings, f)
	if !ok {
		f.Close()
		return nil, fmt.Errorf("pid %d: libcrak.so is not in its memory", pid)
	}
	return &Memory{f, base}, nil
}

// openMem opens the file mem of a thread. A main thread that has ended before the others has no memory, and its files in
// /proc belong to root.
func openMem(pid int) (live int, f *os.File, err error) {
	f, err = os.Open(proc.Path(pid, "mem"))
	if !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrPermission) {
		return pid, f, err
	}
	tasks, _ := proc.Tasks(pid)
	for _, tid := range tasks {
		if f, e := os.Open(proc.Path(tid, "mem")); e == nil {
			return tid, f, nil
		}
	}
	return 0, nil, err
}

// Close closes the file.
func (m *Memory) Close() { m.file.Close() }

// secret reads the secret of the resident, which is so many bytes behind the start of the library.
func (m *Memory) secret(distance uint64) ([]byte, error) {
	const far = 1 << 30 // the library is smaller
	secret := make([]byte, abi.SecretSize)
	if distance > far {
		return nil, fmt.Errorf("a secret %d bytes behind the start of libcrak.so", distance)
	}
	if _, err := m.file.ReadAt(secret, int64(m.base+distance)); err != nil {
		return nil, fmt.Errorf("its secret cannot be read: %w", err)
	}
	return secret, nil
}

// FindLibrary finds the start of libcrak.so in a process's memory: by the file's name, or, where it was restored as memory
// because the file has changed, by its note.
func FindLibrary(mappings []proc.Mapping, memory io.ReaderAt) (uint64, bool) {
	for _, m := range mappings {
		if m.Offset == 0 && strings.Contains(filepath.Base(m.Path), "libcrak") {
			return m.Start, true
		}
	}
	for _, m := range mappings {
		if m.Anonymous() && m.Path == "" && m.Prot == unix.PROT_READ && hasNote(memory, m.Start) {
			return m.Start, true
		}
	}
	return 0, false
}

// hasNote looks for the note in the first page of a mapping.
func hasNote(memory io.ReaderAt, address uint64) bool {
	page := make([]byte, 4096)
	n, _ := memory.ReadAt(page, int64(address))
	return bytes.Contains(page[:max(n, 0)], libraryNote())
}

// libraryNote is how the note begins: its header, and its name (elf(5)).
func libraryNote() []byte {
	var note []byte
	for _, word := range []uint32{uint32(len(abi.NoteName) + 1), 4, abi.NoteType} {
		note = binary.NativeEndian.AppendUint32(note, word)
	}
	return append(note, abi.NoteName...)
}

// prove shows the resident that we may trace its process. A secret that is known is sent at once.
func (c *Conn) prove(l *Listener) error {
	if l.secret != nil {
		if err := c.sendProof(l.secret); err != nil {
			return err
		}
	}
	challenge, err := c.challenge()
	if err != nil || l.secret != nil {
		return err
	}
	secret, err := l.readSecret(c.Pid, challenge.Secret)
	if err != nil {
		return err
	}
	l.secret = secret
	return c.sendProof(secret)
}

func (c *Conn) challenge() (body abi.ChallengeBody, err error) {
	message, err := c.message()
	if err != nil {
		return body, err
	}
	if message.Type == abi.Hello && message.Length >= abi.ChallengeSize || message.Type == abi.Challenge && message.Length == abi.ChallengeSize {
		err = c.read(bytesOf(&body)) // a HELLO came first in version 1, and begins alike
	} else {
		err = fmt.Errorf("pid %d: greeting of type %d, %d bytes", c.Pid, message.Type, message.Length)
	}
	if err == nil && (body.Magic != abi.Magic || body.Version != abi.Version) {
		err = fmt.Errorf("pid %d: its libcrak.so speaks version %d, this crak version %d", c.Pid, body.Version, abi.Version)
	}
	return body, err
}

// readSecret reads it from the program's memory. A writer that the program has started itself, and that may not read it,
// has got it from the resident.
func (l *Listener) readSecret(pid int, distance uint64) ([]byte, error) {
	m := l.Memory
	if m == nil {
		var err error
		m, err = OpenMemory(pid)
		if errors.Is(err, os.ErrPermission) && len(l.Handed) == abi.SecretSize {
			return l.Handed, nil
		}
		if err != nil {
			return nil, err
		}
		defer m.Close()
	}
	secret, err := m.secret(distance)
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	return secret, nil
}

func (c *Conn) sendProof(secret []byte) error {
	message := abi.Message{Type: abi.Proof, Count: 1, Length: abi.SecretSize}
	return c.write(bytesOf(&message), secret)
}

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
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// ErrNoLibrary means that a process has no resident.
var ErrNoLibrary = errors.New("libcrak.so is not in its memory")

// Memory is the memory of a process. Only a process that may trace it can open it.
type Memory struct {
	file *os.File
	base uint64 // address of libcrak.so
}

// OpenMemory opens the memory of process pid. The kernel makes the checks for a tracer (ptrace(2), PTRACE_MODE_ATTACH) now, and not
// when the memory is read. So a writer that gives up privileges calls OpenMemory before.
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
		return nil, fmt.Errorf("pid %d: %w", pid, ErrNoLibrary)
	}
	return &Memory{f, base}, nil
}

// openMem opens the file mem of the process or of one of its threads. If the thread group leader has exited before the other
// threads, it has no memory, and its files in /proc belong to root.
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

// secret reads the secret of process pid's resident at a distance in bytes from the start of the library.
func (m *Memory) secret(pid int, distance uint64) ([]byte, error) {
	const far = 1 << 30 // larger than the library
	secret := make([]byte, abi.SecretSize)
	if distance > far {
		return nil, fmt.Errorf("pid %d: a secret %d bytes behind the start of libcrak.so", pid, distance)
	}
	if _, err := m.file.ReadAt(secret, int64(m.base+distance)); err != nil {
		return nil, fmt.Errorf("pid %d: its secret cannot be read: %w", pid, err)
	}
	return secret, nil
}

// FindLibrary finds the start of libcrak.so in a process's memory: by the file's name or by its ELF note. The note is needed if a
// restart has restored the library as anonymous memory, because the file had changed.
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

// hasNote reports whether the first page of a mapping has the ELF note.
func hasNote(memory io.ReaderAt, address uint64) bool {
	_, found := findNote(memory, address, abi.NoteType)
	return found
}

// findNote finds the address of the descriptor of an ELF note (elf(5)) in a page.
func findNote(memory io.ReaderAt, address uint64, kind uint32) (uint64, bool) {
	page := make([]byte, 4096)
	n, _ := memory.ReadAt(page, int64(address))
	var note []byte
	for _, word := range []uint32{uint32(len(abi.NoteName) + 1), 4, kind} {
		note = binary.NativeEndian.AppendUint32(note, word)
	}
	note = append(append(note, abi.NoteName...), make([]byte, 4)...) // the name ends with a zero, and takes a multiple of 4 bytes
	at := bytes.Index(page[:max(n, 0)], note)
	return address + uint64(at+len(note)), at >= 0
}

// Admission is the address of the struct abi_admission in process pid.
func Admission(pid int) (uint64, error) {
	m, err := OpenMemory(pid)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	note, found := findNote(m.file, m.base, abi.NoteAdmission)
	var distance [4]byte
	if _, err := m.file.ReadAt(distance[:], int64(note)); !found || err != nil {
		return 0, fmt.Errorf("pid %d: its libcrak.so is older than this crak", pid)
	}
	return note + uint64(int64(int32(binary.NativeEndian.Uint32(distance[:])))), nil
}

// prove proves to the resident that the writer may trace its process. If the writer knows the secret from an earlier connection, it
// sends the secret at once and does not wait for the challenge.
func (c *Conn) prove(key *Key) error {
	if key.secret != nil {
		if err := c.sendProof(key.secret); err != nil {
			return err
		}
	}
	challenge, err := c.challenge()
	if err != nil || key.secret != nil {
		return err
	}
	if err := key.read(c.Pid, challenge.Secret); err != nil {
		return err
	}
	return c.sendProof(key.secret)
}

func (c *Conn) challenge() (body abi.ChallengeBody, err error) {
	message, err := c.message()
	if err != nil {
		return body, err
	}
	if message.Type == abi.Hello && message.Length >= abi.ChallengeSize || message.Type == abi.Challenge && message.Length == abi.ChallengeSize {
		err = c.read(bytesOf(&body)) // version 1 sent HELLO first, which begins with the same fields
	} else {
		err = fmt.Errorf("pid %d: challenge of type %d, %d bytes", c.Pid, message.Type, message.Length)
	}
	if err == nil && (body.Magic != abi.Magic || body.Version != abi.Version) {
		err = fmt.Errorf("pid %d: its libcrak.so uses protocol version %d, this crak uses version %d", c.Pid, body.Version, abi.Version)
	}
	return body, err
}

// A Key is how the writer gets the secret of one program's resident. The zero value is ready.
type Key struct {
	Memory *Memory // of the program, if the writer has opened it before
	Handed []byte  // the secret, if the program started the writer and passed the secret to it

	secret  []byte // nil until the writer has read it
	address uint64 // of the secret in the program's memory; 0: the writer has not read it there
}

// Holds tells whether the process still has the secret in its memory. Each program has a new secret, so the process has then executed
// no other program since the resident has shown the secret, and has the resident's handlers. The result is false, too, if the
// writer may not read the memory.
func (k *Key) Holds(pid int) bool {
	var now [abi.SecretSize]byte
	if k.address == 0 {
		return false
	}
	local := []unix.Iovec{{Base: &now[0], Len: uint64(len(now))}}
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(k.address), Len: len(now)}}, 0)
	return err == nil && n == len(now) && bytes.Equal(now[:], k.secret)
}

// IsOld tells whether the writer would use what it has read or opened before: the secret, or the memory. The process may have executed
// another program since.
func (k *Key) IsOld() bool { return k.IsKnown() || k.Memory != nil }

// IsKnown tells whether the writer has read the secret.
func (k *Key) IsKnown() bool { return k.secret != nil }

// Forget discards what the writer knows of the program: the process has executed another one.
func (k *Key) Forget() { *k = Key{} }

// read reads the secret from the program's memory. If the writer may not read the memory, it uses the secret that the resident has
// passed to it, if the program started the writer.
func (k *Key) read(pid int, distance uint64) (err error) {
	if k.Memory != nil {
		err := k.readFrom(k.Memory, pid, distance)
		if !errors.Is(err, io.EOF) { // EOF: the process has executed another program since its memory was opened (proc(5))
			return err
		}
	}
	m, err := OpenMemory(pid)
	if errors.Is(err, os.ErrPermission) && len(k.Handed) == abi.SecretSize {
		k.secret = k.Handed
		return nil
	}
	if err != nil {
		return err
	}
	defer m.Close()
	return k.readFrom(m, pid, distance)
}

func (k *Key) readFrom(m *Memory, pid int, distance uint64) error {
	secret, err := m.secret(pid, distance)
	if err != nil {
		return err
	}
	k.secret, k.address = secret, m.base+distance
	return nil
}

// sendProof sends the secret, and with it the early questions.
func (c *Conn) sendProof(secret []byte) error {
	message := abi.Message{Type: abi.Proof, Count: 1, Length: abi.SecretSize}
	if c.early == nil {
		return c.write(bytesOf(&message), secret)
	}
	c.asked = time.Now()
	request := requestOf(c.early.calls, c.early.data)
	return c.write(bytesOf(&message), secret, bytesOf(&request), bytesOfSlice(c.early.calls), c.early.data)
}

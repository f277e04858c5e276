package dump

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// root records the root directory.
func (m *Member) root() (err error) {
	m.process.RootDir, err = os.Readlink(m.path("root"))
	return err
}

// paths records the executable, the working directory, the root directory and the auxiliary vector.
func (m *Member) paths() error {
	var err error
	if m.process.Cwd, err = os.Readlink(m.path("cwd")); err != nil {
		return err
	}
	if err = m.root(); err != nil {
		return err
	}
	exe, err := os.Readlink(m.path("exe"))
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(m.path("exe"), &st); err != nil {
		return fmt.Errorf("stat %s: %w", exe, err)
	}
	m.process.Executable, m.executableOwner = fileOf(exe, &st), &image.FileOwner{UID: st.Uid, GID: st.Gid}
	m.process.Auxv, err = proc.ReadFile(m.path("auxv"))
	return err
}

// deletedExecutable makes a deleted executable a memory object, so that the image holds its content.
func (m *Member) deletedExecutable() {
	exe := &m.process.Executable
	named, err := m.files.named(exe.Path)
	if exe.Deleted = err != nil || named.Dev != exe.Device || named.Ino != exe.Inode; err != nil && !isAbsent(err) {
		m.refuse("", fmt.Sprintf("executable %q", exe.Path), fmt.Sprintf("it cannot be accessed: %v", err),
			"give the user who makes the checkpoint access to every directory of this path")
		return
	}
	if !exe.Deleted {
		return
	}
	path := strings.TrimSuffix(exe.Path, " (deleted)")
	o := image.MemoryObject{Kind: image.MemoryFile, Name: path, Size: uint64(exe.Size), Mode: exe.Mode & 0o7777, Owner: m.executableOwner}
	if name, ok := strings.CutPrefix(path, "/memfd:"); ok {
		if seals, err := m.seals("exe"); err == nil { // no other file has seals
			o.Kind, o.Name, o.Seals = image.MemoryMemfd, name, seals
		}
	}
	m.process.ExecutableMemory = m.Table.Object(fd.Inode{Device: exe.Device, Number: exe.Inode}, o, func() (*fd.Handle, error) {
		return fd.TakePath(m.path("exe"))
	})
}

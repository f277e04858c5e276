package dump

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// root records the root directory.
func (m *Member) root(pid int) (err error) {
	m.process.RootDir, err = os.Readlink(proc.Path(pid, "root"))
	return err
}

// otherRoot refuses a root directory that is not /.
func (m *Member) otherRoot() obstacle.List {
	if m.process.RootDir == "/" {
		return nil
	}
	return obstacle.List{{Pid: m.Pid, Where: "root directory", What: m.process.RootDir, Why: "chroot(2) is not supported",
		Do: "run both crak and the program inside that root directory"}}
}

// executable records the executable.
func (m *Member) executable() error {
	exe, err := os.Readlink(m.path("exe"))
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(m.path("exe"), &st); err != nil {
		return fmt.Errorf("stat %s: %w", exe, err)
	}
	m.process.Executable, m.executableOwner = fileOf(exe, &st), &image.FileOwner{UID: st.Uid, GID: st.Gid}
	return nil
}

// inherited records what a fork inherits, from process pid, which is the twin or the frozen member itself: the working directory, the
// root directory, the auxiliary vector and the filter of core files.
func (m *Member) inherited(pid int) (err error) {
	p := &m.process
	if p.Cwd, err = os.Readlink(proc.Path(pid, "cwd")); err != nil {
		return err
	}
	if err = m.root(pid); err != nil {
		return err
	}
	if list := m.otherRoot(); list != nil {
		return list
	}
	if p.Auxv, err = proc.ReadFile(proc.Path(pid, "auxv")); err != nil {
		return err
	}
	filter, err := number(pid, "coredump_filter", 16)
	p.Attributes.CoredumpFilter = uint32(filter)
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

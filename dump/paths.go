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

// An executable is the file that a process executes.
type executable struct {
	file  image.File
	owner image.FileOwner
}

func executableOf(pid int) (*executable, error) {
	path := proc.Path(pid, "exe")
	exe, err := os.Readlink(path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", exe, err)
	}
	return &executable{fileOf(exe, &st), image.FileOwner{UID: st.Uid, GID: st.Gid}}, nil
}

// executable records the executable. confirmExecutable checks what was read before the freeze.
func (m *Member) executable() (err error) {
	exe := m.Known.executable
	if exe == nil {
		if exe, err = executableOf(m.Live); err != nil {
			return err
		}
	}
	m.process.Executable, m.executableOwner = exe.file, &exe.owner
	return nil
}

// confirmExecutable checks that the executable is still the one that was known before the freeze. A process can exchange it
// (PR_SET_MM_EXE_FILE), and others can change or remove the file. Process pid is the twin or the frozen member itself.
func (m *Member) confirmExecutable(pid int) error {
	if m.Known.executable == nil {
		return nil
	}
	now, err := executableOf(pid)
	if err == nil && *now != *m.Known.executable {
		err = ErrChanged
	}
	return err
}

// inherited records what a fork inherits, from process pid, which is the twin or the frozen member itself: the working directory, the
// root directory, the auxiliary vector, the resource limits and the filter of core files.
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
	if err = m.limits(pid); err != nil {
		return err
	}
	if err = m.confirmExecutable(pid); err != nil {
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

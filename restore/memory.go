package restore

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/compile"
)

// objects are the files of the shared memory objects that crak has made.
type objects map[image.MemoryID]*os.File

func (o objects) file(id image.MemoryID) (*os.File, error) {
	if f := o[id]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("memory object %d: does not exist", id)
}

// make makes and fills the objects that are files. The others are made by the root's program, and filled in its memory.
func (o objects) make(ctx context.Context, img *image.Image, env *fd.Env) error {
	uses := compile.Uses(img.Group)
	for i := range img.Group.Memory {
		m := &img.Group.Memory[i]
		if !uses[m.ID].IsFile() {
			continue
		}
		f, err := makeObject(m, env)
		if err != nil {
			return fmt.Errorf("memory object %d: %w", m.ID, err)
		}
		o[m.ID] = f
		err = fillObject(ctx, img, m, f, env.Moved)
		if err == nil && m.Kind == image.MemoryFile {
			err = fd.OwnUnlinked(f, *m)
		}
		if err != nil {
			return fmt.Errorf("memory object %d: %w", m.ID, err)
		}
		if isReadOnly(m) {
			if err := sealObject(m, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeObject(m *image.MemoryObject, env *fd.Env) (*os.File, error) {
	if m.Kind == image.MemoryFile {
		return env.MakeUnlinked(*m)
	}
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	if m.HugePageSize != 0 {
		flags |= unix.MFD_HUGETLB | bits.TrailingZeros64(m.HugePageSize)<<unix.MFD_HUGE_SHIFT
	}
	// A memfd that must never become executable has a seal for that. Without either flag, the sysctl vm.memfd_noexec decides.
	executable := unix.MFD_EXEC
	if m.Seals&unix.F_SEAL_EXEC != 0 && m.Mode&0o111 == 0 {
		executable = unix.MFD_NOEXEC_SEAL
	}
	n, err := unix.MemfdCreate(m.Name, flags|executable)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		n, err = unix.MemfdCreate(m.Name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(n), m.Name)
	err = f.Truncate(int64(m.Size))
	if err == nil && m.Mode != 0 {
		err = unix.Fchmod(n, m.Mode&0o7777)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// fillObject writes the content. Files with huge pages do not support write(2), so they are mapped.
func fillObject(ctx context.Context, img *image.Image, m *image.MemoryObject, f *os.File, moved func()) error {
	space := image.MemorySpace(m.ID)
	if m.HugePageSize == 0 {
		return img.Fill(ctx, space, 0, func(runs []image.Run, data []byte) error {
			moved()
			for _, r := range runs {
				n := min(r.Length, max(m.Size, r.Start)-r.Start) // the last page may be longer than the object
				if _, err := f.WriteAt(data[:n], int64(r.Start)); err != nil {
					return err
				}
				data = data[r.Length:]
			}
			return nil
		})
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, int(m.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	defer unix.Munmap(memory)
	return img.Fill(ctx, space, 0, func(runs []image.Run, data []byte) error {
		moved()
		for _, r := range runs {
			copy(memory[r.Start:], data[:r.Length])
			data = data[r.Length:]
		}
		return nil
	})
}

// isReadOnly tells whether an object has F_SEAL_WRITE. The kernel refuses this seal while a shared mapping exists that could become
// writable. So it is set before any process maps the object.
func isReadOnly(m *image.MemoryObject) bool { return m.Seals&unix.F_SEAL_WRITE != 0 }

// seal sets the other seals. It comes when everything is mapped, because they may forbid new mappings.
func (o objects) seal(g *image.Group) error {
	for i := range g.Memory {
		m := &g.Memory[i]
		if m.Kind != image.MemoryMemfd || m.Seals == 0 || isReadOnly(m) {
			continue
		}
		if now, err := unix.FcntlInt(o[m.ID].Fd(), unix.F_GET_SEALS, 0); err == nil && uint32(now) == m.Seals {
			continue // an executable: it is not open for writing any more
		}
		if err := sealObject(m, o[m.ID]); err != nil {
			return err
		}
	}
	return nil
}

func sealObject(m *image.MemoryObject, f *os.File) error {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, int(m.Seals)); err != nil {
		return fmt.Errorf("memory object %d: seals %#x: %w", m.ID, m.Seals, err)
	}
	return nil
}

// readOnly replaces the file of an executable by one that is open for reading only. The kernel requires that for /proc/PID/exe. Seals can be
// added only while it is open for writing.
func (o objects) readOnly(id image.MemoryID, g *image.Group) (*os.File, error) {
	written, err := o.file(id)
	if err != nil {
		return nil, err
	}
	for i := range g.Memory {
		m := &g.Memory[i]
		if m.ID == id && m.Kind == image.MemoryMemfd && m.Seals != 0 && !isReadOnly(m) {
			if err := sealObject(m, written); err != nil {
				return nil, err
			}
		}
	}
	f, err := fd.ReadOnly(written)
	if err != nil {
		return nil, fmt.Errorf("memory object %d: %w", id, err)
	}
	written.Close()
	o[id] = f
	return f, nil
}

func (o objects) close() {
	for _, f := range o {
		f.Close()
	}
}

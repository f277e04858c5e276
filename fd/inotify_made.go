package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// watch makes the watches. The queue is empty afterwards. Preconditions: crak has changed all files that it has to change. Otherwise the
// program would get events of these changes.
func (r Inotify) watch(fd int, id image.DescriptionID, made map[image.DescriptionID]*os.File, env *Env) error {
	unused, err := unix.MemfdCreate("unused", unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	defer unix.Close(unused)
	next := int32(1)
	for _, w := range r.Watches {
		for ; next < w.Number; next++ {
			if err := add(fd, unused, unix.IN_DELETE_SELF, next); err != nil {
				return err
			}
			if _, err := unix.InotifyRmWatch(fd, uint32(next)); err != nil {
				return os.NewSyscallError("inotify_rm_watch", err)
			}
			if next%1000 == 0 || next == w.Number-1 {
				if err := drop(fd); err != nil {
					return err
				}
			}
		}
		if err := w.add(fd, id, made, env); err != nil {
			return fmt.Errorf("inotify watch %d: %w", w.Number, err)
		}
		next++
	}
	return nil
}

func (w InotifyWatch) add(fd int, id image.DescriptionID, made map[image.DescriptionID]*os.File, env *Env) error {
	if w.Description != 0 {
		return add(fd, int(made[w.Description].Fd()), w.Mask, w.Number)
	}
	f, st, err := find(w.File.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := env.decideWatched(compare(*w.File, st), id).Err(); err != nil {
		return err
	}
	return add(fd, int(f.Fd()), w.Mask, w.Number)
}

// add adds a watch of an open file. The kernel must give it a certain number.
func add(fd, file int, mask uint32, number int32) error {
	got, err := unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/self/fd/%d", file), mask)
	if err == nil && got != int(number) {
		err = fmt.Errorf("the kernel gives it the number %d, not %d", got, number)
	}
	return os.NewSyscallError("inotify_add_watch", err)
}

// drop reads the events of the watches that watch has removed. It does not block, even if the description has no O_NONBLOCK.
func drop(fd int) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		if err == nil && n > 0 {
			_, err = unix.Read(fd, buffer)
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

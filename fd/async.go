package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/retry"
)

// withAsync returns the description with O_ASYNC, if only open(2) can set this flag: F_SETFL ignores it for regular files, directories
// and most devices. The flag has no effect on them, but F_GETFL shows it. It closes f if it returns another description.
func (e *Env) withAsync(f *os.File, k *kind, d image.Description) (*os.File, error) {
	if d.Flags&unix.O_ASYNC == 0 || d.Flags&unix.O_PATH != 0 || k.inherited || k.byMember != nil && k.byMember(d) {
		return f, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return f, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	var fd int
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		fd, err = retry.Openat(int(f.Fd()), ".", int(d.Flags&openFlags)|unix.O_ASYNC|unix.O_CLOEXEC, 0)
	case unix.S_IFREG, unix.S_IFCHR:
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err == nil && flags&unix.O_ASYNC != 0 || setsAsync(f) {
			return f, nil
		}
		link := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		fd, err = retry.Open(link, int(d.Flags&openFlags&^(unix.O_NOFOLLOW|unix.O_DIRECTORY))|unix.O_ASYNC|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	default:
		return f, nil
	}
	if err != nil { // for example EACCES: the mode of a file that the program has made
		e.Tell(fmt.Sprintf("%s: comes back without O_ASYNC: %v", f.Name(), err))
		return f, nil
	}
	f.Close()
	return blocking(fd, f.Name())
}

// setsAsync tells whether F_SETFL sets O_ASYNC. Then the restored process sets it, after it has set the owner.
func setsAsync(f *os.File) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_ASYNC); err != nil {
		return false
	}
	now, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || now&unix.O_ASYNC == 0 {
		return false
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags)
	return err == nil
}

package fd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// Attributes are what a file without a name has beside its mode, size and time of modification. A file with a name keeps them itself.
type Attributes struct {
	UID        uint32              `json:"uid"`
	GID        uint32              `json:"gid"`
	AccessedNs int64               `json:"accessed_ns"`
	Extended   []ExtendedAttribute `json:"extended,omitempty"`
}

// ExtendedAttribute is one of xattr(7), with access control lists.
type ExtendedAttribute struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// extendedMost bounds the bytes of a value (XATTR_SIZE_MAX), and the number of attributes of a file.
const extendedMost = 64 << 10

// attributes reads the attributes of a file without a name. Labels of security modules are left out: they depend on who restarts.
func (o *open) attributes() (*Attributes, error) { return fileAttributes(o.path(), o.link, &o.stat) }

// fileAttributes reads the attributes of the file at a path, which errors call name.
func fileAttributes(path, name string, st *unix.Stat_t) (*Attributes, error) {
	a := &Attributes{UID: st.Uid, GID: st.Gid, AccessedNs: st.Atim.Nano()}
	names := make([]byte, extendedMost)
	n, err := unix.Listxattr(path, names)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return a, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: name, Err: err}
	}
	value := make([]byte, extendedMost)
	for _, one := range strings.FieldsFunc(string(names[:n]), func(c rune) bool { return c == 0 }) {
		if strings.HasPrefix(one, "security.") && one != "security.capability" {
			continue
		}
		n, err := unix.Getxattr(path, one, value)
		if err != nil {
			return nil, &os.PathError{Op: "getxattr " + one, Path: name, Err: err}
		}
		a.Extended = append(a.Extended, ExtendedAttribute{one, slices.Clone(value[:n])})
	}
	return a, nil
}

func (a *Attributes) check() error {
	if a == nil {
		return nil
	}
	if len(a.Extended) > extendedMost {
		return fmt.Errorf("%d extended attributes", len(a.Extended))
	}
	for _, x := range a.Extended {
		if len(x.Value) > extendedMost || x.Name == "" || strings.ContainsRune(x.Name, 0) {
			return fmt.Errorf("extended attribute %.40q of %d bytes", x.Name, len(x.Value))
		}
	}
	return nil
}

// owner is nil if a is.
func (a *Attributes) owner() *image.FileOwner {
	if a == nil {
		return nil
	}
	return &image.FileOwner{UID: a.UID, GID: a.GID}
}

// setAttributes gives a file without a name its mode and attributes. It tells of those that crak restart may not set.
func (e *Env) setAttributes(f *os.File, was image.File, a *Attributes) error {
	if err := a.check(); err != nil {
		return fmt.Errorf("%s: %w", was.Path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: was.Path, Err: err}
	}
	link := "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) // works for a descriptor of O_PATH, too
	if a != nil {
		if st.Uid != a.UID || st.Gid != a.GID {
			if err := unix.Chown(link, int(a.UID), int(a.GID)); err != nil {
				e.Tell(fmt.Sprintf("%s: a deleted file, belonged to user %d, group %d, and now to user %d, group %d: %v", was.Path, a.UID, a.GID, st.Uid, st.Gid, err))
			}
		}
		for _, x := range a.Extended {
			if err := unix.Setxattr(link, x.Name, x.Value, 0); err != nil {
				e.Tell(fmt.Sprintf("%s: a deleted file, comes back without the extended attribute %q: %v", was.Path, x.Name, err))
			}
		}
	}
	if err := setMode(f, was.Mode, a.owner()); err != nil {
		return fmt.Errorf("%s: %w", was.Path, err)
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(was.MtimeNs)}
	if a != nil {
		times[0] = unix.NsecToTimespec(a.AccessedNs)
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, link, times, 0); err != nil {
		return &os.PathError{Op: "utimensat", Path: was.Path, Err: err}
	}
	return nil
}

// restoreAttributes gives a file with a name the mode, owner, extended attributes and times that it had. It tells of those that
// crak restart may not set.
func (e *Env) restoreAttributes(f *os.File, was image.File, a *Attributes) error {
	link := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	now, err := fileAttributes(link, was.Path, &st)
	if err != nil {
		return err
	}
	if st.Uid != a.UID || st.Gid != a.GID {
		if err := unix.Chown(link, int(a.UID), int(a.GID)); err != nil {
			e.Tell(fmt.Sprintf("%s: belonged to user %d, group %d, and now to user %d, group %d: %v", was.Path, a.UID, a.GID, st.Uid, st.Gid, err))
		}
	}
	for _, x := range a.Extended {
		same := func(y ExtendedAttribute) bool { return x.Name == y.Name && bytes.Equal(x.Value, y.Value) }
		if slices.ContainsFunc(now.Extended, same) {
			continue
		}
		if err := unix.Setxattr(link, x.Name, x.Value, 0); err != nil {
			e.Tell(fmt.Sprintf("%s: the extended attribute %q cannot be put back: %v", was.Path, x.Name, err))
		}
	}
	for _, x := range now.Extended {
		had := func(y ExtendedAttribute) bool { return x.Name == y.Name }
		if strings.HasPrefix(x.Name, "user.") && !slices.ContainsFunc(a.Extended, had) {
			unix.Removexattr(link, x.Name)
		}
	}
	if unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&0o7777 != was.Mode&0o7777 {
		if err := setMode(f, was.Mode, a.owner()); err != nil {
			e.Tell(fmt.Sprintf("%s: its mode was %#o, and is %#o: %v", was.Path, was.Mode&0o7777, st.Mode&0o7777, err))
		}
	}
	times := []unix.Timespec{unix.NsecToTimespec(a.AccessedNs), unix.NsecToTimespec(was.MtimeNs)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, link, times, 0); err != nil {
		e.Tell(fmt.Sprintf("%s: its times cannot be put back: %v", was.Path, err))
	}
	return nil
}

// Package rights has a privileged process become another user for good, before it touches what that user can influence.
// So nothing that such a user has prepared is done with more rights than the user has.
package rights

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A User is what a process is to become.
type User struct {
	UID, GID     [3]uint32 // real, effective, saved
	Groups       []uint32
	Capabilities uint64 // permitted and effective; what the process itself has not it does not get
}

// Owner is the user that a file belongs to, with the groups that the system gives that user and without capabilities. A
// user that the system does not know has the file's group alone. A symbolic link is followed.
func Owner(path string) (User, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return User{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	gid, groups := System.groups(st.Uid, st.Gid)
	return User{UID: [3]uint32{st.Uid, st.Uid, st.Uid}, GID: [3]uint32{gid, gid, gid}, Groups: groups}, nil
}

// Become gives every thread of the process the IDs, groups and capabilities of that user. Where group IDs cannot be
// changed, and the user is the same, the user is all that counts. On an error it may be half done, and the process must end.
//
// The process is not dumpable from then on (prctl(2), PR_SET_DUMPABLE), so that user cannot get at what it still has of
// before: an exec ends that.
func (u User) Become() error {
	// The kernel says so itself where user IDs change (commit_creds, kernel/cred.c), unless fs.suid_dumpable is set.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return named("prctl", err)
	}
	groups := make([]int, len(u.Groups))
	for i, g := range u.Groups {
		groups[i] = int(g)
	}
	changed := errors.Join(
		named("setgroups", syscall.Setgroups(groups)),
		named("setresgid", syscall.Setresgid(int(u.GID[0]), int(u.GID[1]), int(u.GID[2]))))
	if err := everyThread("prctl", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1); err != nil {
		return err
	}
	r, e, s := unix.Getresuid()
	if err := syscall.Setresuid(int(u.UID[0]), int(u.UID[1]), int(u.UID[2])); err != nil {
		return named("setresuid", err)
	}
	if changed != nil && u.UID != [3]uint32{uint32(r), uint32(e), uint32(s)} {
		return changed
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		word := uint32(u.Capabilities >> (32 * i))
		data[i] = unix.CapUserData{Effective: word, Permitted: word} // with the inheritable go the ambient ones
	}
	return everyThread("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)))
}

// everyThread makes a system call in all threads: each has credentials of its own.
func everyThread(name string, number, a, b uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(number, a, b, 0); errno != 0 {
		return named(name, errno)
	}
	return nil
}

func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

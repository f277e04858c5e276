// Package rights lets a privileged process become another user: the process for good (Become), or one thread for one function (Do).
// The process does that before it looks at anything that this user can influence. So whatever the user has prepared, the process
// has no more rights than the user.
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
	Capabilities uint64 // permitted and effective; the process does not get any that it does not have
}

// Owner returns the user to whom a file belongs, with the groups that the user has on this system, and without capabilities. If the
// system does not know the user, the group of the file is the only one. Owner follows a symbolic link.
func Owner(path string) (User, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return User{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return OfAccount(st.Uid, st.Gid), nil
}

// OfAccount returns a user as Owner does. The group is that of a user whom the system does not know.
func OfAccount(uid, otherwise uint32) User {
	gid, groups := System.groups(uid, otherwise)
	return User{UID: [3]uint32{uid, uid, uid}, GID: [3]uint32{gid, gid, gid}, Groups: groups}
}

// Become gives every thread of the process the IDs, groups and capabilities of the user. If the process cannot change its group IDs,
// that is an error only if its user IDs change. After an error the process may have changed some of them, and must end.
//
// From then on the process is not dumpable (prctl(2), PR_SET_DUMPABLE). So the user cannot read what is still in its memory from
// before. An exec makes it dumpable again, with new memory.
func (u User) Become() error {
	// The kernel does this itself if user IDs change (commit_creds in kernel/cred.c), unless fs.suid_dumpable is set.
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
	data := capabilityWords(u.Capabilities)
	return everyThread("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)))
}

// capabilityWords are the arguments of capset(2) for permitted and effective capabilities.
func capabilityWords(capabilities uint64) (data [2]unix.CapUserData) {
	for i := range data {
		word := uint32(capabilities >> (32 * i))
		data[i] = unix.CapUserData{Effective: word, Permitted: word} // without inheritable capabilities there are no ambient ones
	}
	return data
}

// everyThread makes a system call in all threads, because each thread has its own credentials.
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

package rights

import (
	"cmp"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Do calls a function in a thread that has the IDs, groups and capabilities of the user, and nothing else. The other threads keep
// theirs. Goroutines that the function starts run in other threads: Own uses that. Do returns the function's error.
//
// The process is not dumpable from then on (prctl(2), PR_SET_DUMPABLE), so the user cannot trace it. The user may send signals to
// the thread, and so end the process.
func (u User) Do(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the main thread cannot end, and /proc/PID shows its IDs
			result <- u.Do(do) // in another thread, because this one is locked
			runtime.UnlockOSThread()
			return
		}
		running.Add(1)
		defer running.Add(-1)
		err := u.becomeThread()
		if err == nil {
			err = do()
		}
		result <- err // without UnlockOSThread: the thread ends with the goroutine
	}()
	return <-result
}

// running is how many functions Do runs.
var running atomic.Int32

// Own calls a function with the rights of the process. The caller may be a function that Do has called.
func Own(do func()) {
	if running.Load() == 0 {
		do()
		return
	}
	done := make(chan struct{})
	go func() { // a thread of a locked goroutine runs no other goroutine
		do()
		close(done)
	}()
	<-done
}

// becomeThread changes the IDs, groups and capabilities of the calling thread.
func (u User) becomeThread() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return named("prctl", err)
	}
	return cmp.Or(
		u.setGroups(),
		thisThread("setresgid", unix.SYS_SETRESGID, u.GID[0], u.GID[1], u.GID[2]),
		thisThread("prctl", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0),
		thisThread("setresuid", unix.SYS_SETRESUID, u.UID[0], u.UID[1], u.UID[2]),
		u.setCapabilities())
}

// thisThread makes a system call in the calling thread. unix.Setresuid and others change all threads.
func thisThread(name string, number uintptr, a, b, c uint32) error {
	if _, _, errno := syscall.RawSyscall(number, uintptr(a), uintptr(b), uintptr(c)); errno != 0 {
		return named(name, errno)
	}
	return nil
}

func (u User) setGroups() error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(u.Groups)), uintptr(unsafe.Pointer(unsafe.SliceData(u.Groups))), 0); errno != 0 {
		return named("setgroups", errno)
	}
	return nil
}

func (u User) setCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := capabilityWords(u.Capabilities)
	if _, _, errno := syscall.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0); errno != 0 {
		return named("capset", errno)
	}
	return nil
}

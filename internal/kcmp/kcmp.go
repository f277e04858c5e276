// Package kcmp compares kernel objects of two processes or threads: kcmp(2).
//
// A comparison returns 0 if the object is the same. Otherwise the result is negative or positive, as slices.SortFunc expects it: the
// kernel has an order of objects, which does not change while they exist. An error means that the caller may not compare them
// (EPERM), that a process or a descriptor does not exist, or that the kernel has no such call.
package kcmp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Kind is a kind of object that every thread has, and that it may share with others.
type Kind uintptr

// The numbers are those of linux/kcmp.h.
const (
	file          Kind = 0 // KCMP_FILE
	Memory        Kind = 1 // KCMP_VM
	Table         Kind = 2 // KCMP_FILES: the table of descriptors
	Directories   Kind = 3 // KCMP_FS: root, working directory and umask
	SemaphoreUndo Kind = 6 // KCMP_SYSVSEM
	epollTarget   Kind = 7 // KCMP_EPOLL_TFD, since Linux 4.13
)

// Threads compares an object of two threads.
func Threads(a, b int, kind Kind) (int, error) { return compare(a, b, kind, 0, 0) }

// Files compares the open file descriptions of two descriptors.
func Files(a, fdA, b, fdB int) (int, error) { return compare(a, b, file, uintptr(fdA), uintptr(fdB)) }

// A Target is a target of an epoll instance: the nth of those that are registered under a number.
type Target struct{ Instance, Number, Nth uint32 }

// EpollTarget compares the open file description of a descriptor with a target of an epoll instance of process b.
func EpollTarget(a, fd, b int, target Target) (int, error) {
	return compare(a, b, epollTarget, uintptr(fd), uintptr(unsafe.Pointer(&target)))
}

//go:uintptrescapes
func compare(a, b int, kind Kind, index1, index2 uintptr) (int, error) {
	result, _, errno := unix.RawSyscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), uintptr(kind), index1, index2, 0)
	if errno != 0 {
		return 0, errno
	}
	switch result {
	case 0:
		return 0, nil
	case 1:
		return -1, nil
	default: // 2: greater; 3: different, and without an order
		return 1, nil
	}
}

// Package sysv has the structures and system calls of System V semaphores and message queues.
//
// The writer asks the initiator to make the calls, because the writer may be in another IPC namespace. A restart makes them itself.
package sysv

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of semctl(2) and msgctl(2).
const (
	GetPid     = 11 // GETPID
	GetAll     = 13 // GETALL
	GetWaiting = 14 // GETNCNT
	GetForZero = 15 // GETZCNT
	SetAll     = 17 // SETALL
	SemInfo    = 19 // SEM_INFO
	SemStatAny = 20 // SEM_STAT_ANY: by index; needs no read permission (Linux 4.17)
	MsgInfo    = 12 // MSG_INFO
	MsgStatAny = 13 // MSG_STAT_ANY
)

// Flags of semop(2) and msgrcv(2).
const (
	Undo    = 0x1000  // SEM_UNDO
	Copy    = 0o40000 // MSG_COPY: msgrcv copies the message with the index msgtyp, and leaves it in the queue
	NoError = 0o10000 // MSG_NOERROR: msgrcv cuts a message that is longer than the buffer
)

// SetDesc is struct semid64_ds.
type SetDesc struct {
	Perm  unix.SysvIpcPerm
	Otime int64 // of the last semop
	_     uint64
	Ctime int64 // of the last change by semctl
	_     uint64
	Nsems uint64
	_, _  uint64
}

// QueueDesc is struct msqid64_ds.
type QueueDesc struct {
	Perm                unix.SysvIpcPerm
	Stime, Rtime, Ctime int64 // of the last msgsnd, msgrcv and msgctl
	Bytes               uint64
	Messages            uint64
	Limit               uint64 // msg_qbytes
	Sender, Receiver    int32  // PIDs of the last msgsnd and msgrcv
	_, _                uint64
}

// SetLimits is struct seminfo, as SEM_INFO fills it.
type SetLimits struct {
	_, _, _, _, _ int32
	Operations    int32 // of one semop (SEMOPM)
	_             int32
	Sets          int32 // that exist
	_, _          int32
}

// QueueLimits is struct msginfo, as MSG_INFO fills it.
type QueueLimits struct {
	Queues        int32 // that exist
	_             int32
	Message       int32 // the longest text (MSGMAX)
	_, _, _, _, _ int32
}

// Operation is struct sembuf.
type Operation struct {
	Number uint16
	Change int16
	Flags  int16
}

func result(r uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}

// SemGet is semget(2).
func SemGet(key int32, n, flags int) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_SEMGET, uintptr(key), uintptr(n), uintptr(flags))
	return result(r, errno)
}

// SemCtl is semctl(2). arg may be nil.
func SemCtl(id, number, command int, arg unsafe.Pointer) (int, error) {
	r, _, errno := unix.Syscall6(unix.SYS_SEMCTL, uintptr(id), uintptr(number), uintptr(command), uintptr(arg), 0, 0)
	return result(r, errno)
}

// MsgGet is msgget(2).
func MsgGet(key int32, flags int) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_MSGGET, uintptr(key), uintptr(flags), 0)
	return result(r, errno)
}

// MsgCtl is msgctl(2). desc may be nil.
func MsgCtl(id, command int, desc *QueueDesc) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_MSGCTL, uintptr(id), uintptr(command), uintptr(unsafe.Pointer(desc)))
	return result(r, errno)
}

// Send is msgsnd(2) with IPC_NOWAIT.
func Send(id int, kind int64, text []byte) error {
	b := binary.NativeEndian.AppendUint64(make([]byte, 0, 8+len(text)), uint64(kind))
	b = append(b, text...)
	_, _, errno := unix.Syscall6(unix.SYS_MSGSND, uintptr(id), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(text)),
		unix.IPC_NOWAIT, 0, 0)
	_, err := result(0, errno)
	return err
}

// Drop takes the first message out of a queue. It returns ENOMSG if there is none.
func Drop(id int) error {
	b := make([]byte, 8) // the type
	_, _, errno := unix.Syscall6(unix.SYS_MSGRCV, uintptr(id), uintptr(unsafe.Pointer(unsafe.SliceData(b))), 0, 0,
		unix.IPC_NOWAIT|NoError, 0)
	_, err := result(0, errno)
	return err
}

package restore

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/sysv"
)

// semaphores are a System V semaphore set. The members restore their adjustments (SEM_UNDO) themselves, after fill:
// SETALL sets them to 0.
type semaphores struct {
	*image.SemaphoreSet
	have sysv.SetDesc
}

func (s *semaphores) kind() (name, next string) { return "semaphore set", "sem_next_id" }
func (s *semaphores) saved() *image.SysV        { return &s.SysV }

func (s *semaphores) get(key int32, flags int) (int, error) {
	n := len(s.Values)
	if flags == 0 {
		n = 0 // only look for the key
	}
	return sysv.SemGet(key, n, flags)
}

func (s *semaphores) stat() (*unix.SysvIpcPerm, error) {
	_, err := sysv.SemCtl(s.SysV.ID, 0, unix.IPC_STAT, unsafe.Pointer(&s.have))
	return &s.have.Perm, err
}

func (s *semaphores) usable() error {
	if s.have.Nsems != uint64(len(s.Values)) {
		return errors.New("another one has its ID now")
	}
	for n := range s.Values {
		pid, err := sysv.SemCtl(s.SysV.ID, n, sysv.GetPid, nil)
		if err != nil {
			return err
		}
		if lives(pid, max(s.have.Otime, s.have.Ctime)) {
			return errUsed(pid)
		}
		for _, command := range []int{sysv.GetWaiting, sysv.GetForZero} {
			if waiting, _ := sysv.SemCtl(s.SysV.ID, n, command, nil); waiting > 0 {
				return errors.New("a process that is not of the program waits for it")
			}
		}
	}
	return nil
}

// set always calls the kernel, which notes the time: from that the next checkpoint knows that the set is the program's.
func (s *semaphores) set(mode uint32) error {
	perm, err := s.stat()
	if err != nil {
		return err
	}
	same := own(perm, &s.SysV, mode)
	if _, err = sysv.SemCtl(s.SysV.ID, 0, unix.IPC_SET, unsafe.Pointer(&s.have)); same && errors.Is(err, unix.EPERM) {
		return nil // it belongs to another user
	}
	return err
}

func (s *semaphores) fill() error {
	_, err := sysv.SemCtl(s.SysV.ID, 0, sysv.SetAll, unsafe.Pointer(unsafe.SliceData(s.Values)))
	return err
}

func (s *semaphores) remove() { sysv.SemCtl(s.SysV.ID, 0, unix.IPC_RMID, nil) }

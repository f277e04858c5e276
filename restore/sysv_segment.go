package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A segment is System V shared memory.
type segment struct {
	*image.MemoryObject
	have unix.SysvShmDesc
}

func (s *segment) kind() (name, next string) { return "shared memory", "shm_next_id" }
func (s *segment) saved() *image.SysV        { return s.SysV }

func (s *segment) get(key int32, flags int) (int, error) {
	size := int(s.Size)
	if flags == 0 {
		size = 0 // only look for the key
	}
	return unix.SysvShmGet(int(key), size, flags)
}

func (s *segment) stat() (*unix.SysvIpcPerm, error) {
	_, err := unix.SysvShmCtl(s.SysV.ID, unix.IPC_STAT, &s.have)
	return &s.have.Perm, err
}

func (s *segment) usable() error {
	switch {
	case s.have.Nattch > 0:
		return fmt.Errorf("%d other processes have it attached", s.have.Nattch)
	case s.have.Segsz != s.Size:
		return errors.New("another one has its ID now")
	}
	return nil
}

func (s *segment) set(mode uint32) error {
	perm, err := s.stat()
	if err != nil || own(perm, s.SysV, mode) {
		return err
	}
	_, err = unix.SysvShmCtl(s.SysV.ID, unix.IPC_SET, &s.have)
	return err
}

// SHM_LOCK and SHM_UNLOCK of shmctl(2).
const (
	shmLock   = 11
	shmUnlock = 12
)

// fill locks a segment, and removes one that was removed before the checkpoint: it exists until the last process detaches.
func (s *segment) fill() error {
	command := shmUnlock
	if s.SysV.Locked {
		command = shmLock
	}
	if _, err := unix.SysvShmCtl(s.SysV.ID, command, nil); err != nil && s.SysV.Locked {
		return fmt.Errorf("locking it (SHM_LOCK): %w; crak needs a limit of locked memory (ulimit -l) of at least %d KiB", err, s.Size>>10)
	}
	if s.SysV.Removed {
		s.remove()
	}
	return nil
}

func (s *segment) remove() { unix.SysvShmCtl(s.SysV.ID, unix.IPC_RMID, nil) }

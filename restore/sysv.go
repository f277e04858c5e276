package restore

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// segments are the SysV shared memory segments of a group. They have the IDs that they had.
type segments struct {
	ids  map[image.MemoryID]int
	made []int // IDs of those that crak has made: they are removed if the restart fails
}

// make finds or makes the segments. A segment does not end with its program: one that still exists, and to which no process is
// attached, is the program's. The content is written when the members have attached it.
func (s *segments) make(g *image.Group) error {
	s.ids = make(map[image.MemoryID]int)
	for i := range g.Memory {
		m := &g.Memory[i]
		if m.Kind != image.MemorySysV {
			continue
		}
		found, err := findSegment(m)
		if err == nil && !found {
			err = s.makeOne(m)
		}
		if err != nil {
			return fmt.Errorf("SysV shared memory %d: %w", m.SysV.ID, err)
		}
		s.ids[m.ID] = m.SysV.ID
	}
	return nil
}

// findSegment tells whether the segment exists. It returns an error if the program cannot have it.
func findSegment(m *image.MemoryObject) (bool, error) {
	var have unix.SysvShmDesc
	_, err := unix.SysvShmCtl(m.SysV.ID, unix.IPC_STAT, &have)
	switch {
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM):
		return false, nil
	case err != nil:
		return false, err
	case have.Nattch > 0:
		return false, fmt.Errorf("%d other processes have it attached", have.Nattch)
	case have.Segsz != m.Size || int32(have.Perm.Key) != m.SysV.Key:
		return false, errors.New("another segment has its ID now")
	}
	return true, nil
}

// makeOne makes a segment with its old ID (shm_next_id in proc_sys_kernel(5)).
func (s *segments) makeOne(m *image.MemoryObject) error {
	v := m.SysV
	if err := os.WriteFile("/proc/sys/kernel/shm_next_id", []byte(strconv.Itoa(v.ID)), 0); err != nil {
		return fmt.Errorf("choosing its ID: %w", err)
	}
	key := int(v.Key)
	if v.Removed {
		key = unix.IPC_PRIVATE
	}
	id, err := unix.SysvShmGet(key, int(m.Size), unix.IPC_CREAT|unix.IPC_EXCL|int(v.Mode&0o777))
	if err != nil {
		return fmt.Errorf("shmget: %w", err)
	}
	s.made = append(s.made, id)
	if id != v.ID {
		return fmt.Errorf("its ID is taken: the kernel gave %d", id)
	}
	return s.own(m)
}

// own sets the owner of a segment, if the owner is not us.
func (s *segments) own(m *image.MemoryObject) error {
	var d unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(m.SysV.ID, unix.IPC_STAT, &d); err != nil {
		return err
	}
	if d.Perm.Uid == m.SysV.UID && d.Perm.Gid == m.SysV.GID {
		return nil
	}
	d.Perm.Uid, d.Perm.Gid = m.SysV.UID, m.SysV.GID
	_, err := unix.SysvShmCtl(m.SysV.ID, unix.IPC_SET, &d)
	return err
}

// settle removes the segments that were removed before the checkpoint. They exist until the last process detaches. Preconditions:
// the members have attached them.
func (s *segments) settle(g *image.Group) error {
	for _, m := range g.Memory {
		if m.Kind == image.MemorySysV && m.SysV.Removed {
			if _, err := unix.SysvShmCtl(m.SysV.ID, unix.IPC_RMID, nil); err != nil {
				return fmt.Errorf("SysV shared memory %d: %w", m.SysV.ID, err)
			}
		}
	}
	return nil
}

// remove undoes make.
func (s *segments) remove() {
	for _, id := range s.made {
		unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
	s.made = nil
}

// hasSegments tells whether a group has SysV shared memory.
func hasSegments(g *image.Group) bool {
	for _, m := range g.Memory {
		if m.Kind == image.MemorySysV {
			return true
		}
	}
	return false
}

// checkSegments finds segments that the program cannot have in this IPC namespace.
func checkSegments(g *image.Group) (all obstacle.List) {
	for i := range g.Memory {
		m := &g.Memory[i]
		if m.Kind != image.MemorySysV {
			continue
		}
		if _, err := findSegment(m); err != nil {
			all = append(all, obstacle.Obstacle{What: fmt.Sprintf("SysV shared memory %d", m.SysV.ID), Why: err.Error(),
				Do: "remove it with ipcrm, or restart with --pids=fresh, which has SysV objects of its own"})
		}
	}
	return all
}

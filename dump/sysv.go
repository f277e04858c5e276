package dump

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

const (
	shmDest   = 0o1000 // SHM_DEST: removed with its last attachment
	shmLocked = 0o2000 // SHM_LOCKED
)

// segments asks the root's initiator for owner, key and size of SysV shared memory that this member is the first to map. The writer cannot
// ask the kernel itself, because it may be in another IPC namespace. A member of another user than root could say that root's segment belongs
// to this user, and a restart by root would make that true.
func (m *Member) segments(known int, root *Member) error {
	var ask resident.Questions
	for i := known; i < len(m.Table.Memory); i++ {
		o := &m.Table.Memory[i]
		if o.Kind != image.MemorySysV {
			continue
		}
		call := abi.Call{Number: unix.SYS_SHMCTL, Relative: abi.Data(2), Args: [6]uint64{uint64(o.SysV.ID), unix.IPC_STAT, 0}}
		ask.Ask(call, make([]byte, unsafe.Sizeof(unix.SysvShmDesc{})), func(result int64, data []byte) {
			if result < 0 {
				m.refuse("", "SysV shared memory", fmt.Sprintf("shmctl(IPC_STAT) fails: %v", unix.Errno(-result)), "")
				return
			}
			d := (*unix.SysvShmDesc)(unsafe.Pointer(unsafe.SliceData(data)))
			o.Size = d.Segsz
			o.SysV.Key, o.SysV.Mode, o.SysV.UID, o.SysV.GID = d.Perm.Key, d.Perm.Mode&0o777, d.Perm.Uid, d.Perm.Gid
			o.SysV.Creator = d.Perm.Cuid
			o.SysV.Removed, o.SysV.Locked = d.Perm.Mode&shmDest != 0, d.Perm.Mode&shmLocked != 0
		})
	}
	return ask.Put(root.Conn.Calls)
}

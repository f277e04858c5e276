package dump

import (
	"fmt"
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/sysv"
)

// SysV is what a group has of System V semaphores and message queues.
type SysV struct {
	Semaphores []image.SemaphoreSet
	Queues     []image.MessageQueue
	Obstacles  obstacle.List
}

// CaptureSysV records the semaphore sets and the message queues of a frozen group. A System V object has no descriptor, and the
// kernel does not know which processes have used it before the last one. An object belongs to the group if
//
//   - a member was the last to use it, since this member began: another process may have had the same PID before, or
//   - crak restart started the group, has put the values or messages back since then, and nobody has used the object after it.
//
// Other objects are not recorded. One whose last user has ended may belong to another program of the same user, and a restart would
// change it.
//
// The root's initiator makes the calls, because the writer may be in another IPC namespace. All members are in the same one.
func CaptureSysV(members []*Member, zombies []image.Zombie) (*SysV, error) {
	root := members[0]
	if root.sets.Sets <= 0 && root.queues.Queues <= 0 {
		return new(SysV), nil
	}
	c := &sysvCapture{members: members, found: new(SysV), inside: make(map[image.Pid]int64)}
	if err := c.starts(members, zombies); err != nil {
		return nil, err
	}
	c.user = root.process.Threads[0].Credentials.UID[1]
	c.restored = root.isRestored()
	if err := inOrder(c.semaphores, c.messageQueues); err != nil {
		return nil, root.fail(fmt.Errorf("semaphores and message queues of System V: %w", err))
	}
	return c.found, nil
}

type sysvCapture struct {
	members  []*Member
	found    *SysV
	inside   map[image.Pid]int64 // when each member and zombie began, in seconds since 1970; it may be too early
	restored bool                // crak restart is the parent of the root
	user     uint32
	since    int64 // when the first member began
}

const (
	sysvIndexes = 1 << 15  // IPCMNI: indexes of objects are below it, without the kernel's option ipcmni_extend
	sysvText    = 16 << 20 // the limit for the messages of a group, in bytes
)

// ask makes calls in the root.
func (c *sysvCapture) ask(q *resident.Questions) error { return q.Put(c.members[0].Conn.Calls) }

// askSysV asks how many sets and queues exist, and which is the last index in use.
func (m *Member) askSysV(ask *resident.Questions) {
	sets := abi.Call{Number: unix.SYS_SEMCTL, Relative: abi.Data(3), Args: [6]uint64{0, 0, sysv.SemInfo, 0}}
	ask.Ask(sets, make([]byte, unsafe.Sizeof(m.sets)), func(last int64, data []byte) {
		if last >= 0 {
			m.sets, m.lastSet = *(*sysv.SetLimits)(unsafe.Pointer(unsafe.SliceData(data))), int(last)
		}
	})
	queues := abi.Call{Number: unix.SYS_MSGCTL, Relative: abi.Data(2), Args: [6]uint64{0, sysv.MsgInfo, 0}}
	ask.Ask(queues, make([]byte, unsafe.Sizeof(m.queues)), func(last int64, data []byte) {
		if last >= 0 {
			m.queues, m.lastQueue = *(*sysv.QueueLimits)(unsafe.Pointer(unsafe.SliceData(data))), int(last)
		}
	})
}

// listSysV lists the objects of one kind in the IPC namespace. call asks for the description of an object, a D, by its index, which is
// the first argument. count is how many objects exist, and last the last index in use. found gets the ID and the description.
func listSysV[D any](c *sysvCapture, call abi.Call, count int32, last int, found func(id int64, desc *D)) error {
	if count <= 0 {
		return nil
	}
	var ask resident.Questions
	for index := range min(last+1, sysvIndexes) {
		call.Args[0] = uint64(index)
		ask.Ask(call, make([]byte, unsafe.Sizeof(*new(D))), func(id int64, data []byte) {
			if id >= 0 { // otherwise no object has this index
				found(id, (*D)(unsafe.Pointer(unsafe.SliceData(data))))
			}
		})
	}
	return c.ask(&ask)
}

// A lastUse says which process was the last to use an object in some way, and when.
type lastUse struct {
	pid image.Pid
	at  int64 // seconds since 1970
}

// belongs tells whether an object is the group's. last is when it was made, changed or used. crak restart has used each object that it
// has put back, so one that nobody has used yet is another program's.
func (c *sysvCapture) belongs(perm *unix.SysvIpcPerm, users []lastUse, last int64) bool {
	byRestart := c.restored && len(users) > 0 && perm.Cuid == c.user && last >= c.since
	for _, u := range users {
		if began, inside := c.inside[u.pid]; inside && u.at >= began { // otherwise another process had this PID before
			return true
		}
		byRestart = byRestart && u.pid == c.members[0].process.Parent
	}
	return byRestart
}

// isRestored tells whether crak restart, or the init process that it has made for the group, is the parent of the member.
func (m *Member) isRestored() bool {
	comm, err := proc.ReadFile(proc.Path(m.stat.PPid, "comm"))
	return err == nil && string(comm) == "crak\n"
}

func (c *sysvCapture) refuse(what, why, do string) {
	c.found.Obstacles = append(c.found.Obstacles, obstacle.Obstacle{Pid: c.members[0].Pid, What: what, Why: why, Do: do})
}

func sysvOf(id int64, perm *unix.SysvIpcPerm) image.SysV {
	return image.SysV{ID: int(id), Key: perm.Key, Mode: perm.Mode & 0o777, UID: perm.Uid, GID: perm.Gid, Creator: perm.Cuid}
}

// starts finds out when the processes of the group began. Of zombies only the first possible moment is known. The times are too early
// by two seconds at most.
func (c *sysvCapture) starts(members []*Member, zombies []image.Zombie) error {
	const ticks = 100 // USER_HZ
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return err
	}
	boot := time.Now().Unix() - now.Sec - 1
	c.since = math.MaxInt64
	for _, m := range members {
		began := boot + int64(m.stat.StartTime/ticks)
		c.inside[m.process.Pid] = began
		c.since = min(c.since, began)
	}
	for _, z := range zombies {
		c.inside[z.Pid] = c.since
	}
	return nil
}

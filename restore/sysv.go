package restore

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A sysvObject is a System V object: a segment, a semaphore set or a message queue.
type sysvObject interface {
	kind() (name, next string) // next chooses the ID of the next object (proc_sys_kernel(5))
	saved() *image.SysV

	get(key int32, flags int) (int, error)
	stat() (*unix.SysvIpcPerm, error) // what the kernel has now
	usable() error                    // why the program cannot have the object that exists. Preconditions: stat has succeeded
	set(mode uint32) error            // sets owner and permissions
	fill() error                      // puts the content back
	remove()
}

// sysvObjects are the System V objects of a group. They have the IDs that they had.
type sysvObjects struct {
	made []sysvObject // by crak: they are removed if the restart fails
}

func sysvOf(g *image.Group) (all []sysvObject) {
	for i := range g.Memory {
		if g.Memory[i].Kind == image.MemorySysV {
			all = append(all, &segment{MemoryObject: &g.Memory[i]})
		}
	}
	for i := range g.Semaphores {
		all = append(all, &semaphores{SemaphoreSet: &g.Semaphores[i]})
	}
	for i := range g.Queues {
		all = append(all, &messages{MessageQueue: &g.Queues[i]})
	}
	return all
}

func sysvName(o sysvObject) string {
	name, _ := o.kind()
	return fmt.Sprintf("System V %s %d", name, o.saved().ID)
}

// make finds or makes the objects. An object does not end with its program: one that still exists, and that no other process uses, is
// the program's.
func (s *sysvObjects) make(g *image.Group) error {
	for _, o := range sysvOf(g) {
		found, err := findSysV(o)
		if err == nil && !found {
			err = s.makeOne(o)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", sysvName(o), err)
		}
	}
	return nil
}

// findSysV tells whether the object exists. It returns an error if the program cannot have it.
func findSysV(o sysvObject) (bool, error) {
	v := o.saved()
	have, err := o.stat()
	switch {
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM):
		if id, err := o.get(v.Key, 0); v.Key != unix.IPC_PRIVATE && !v.Removed && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("another one, with the ID %d, has its key %#x now", id, uint32(v.Key))
		}
		return false, nil
	case err != nil:
		return false, err
	case have.Key != v.Key:
		return false, errors.New("another one has its ID now")
	}
	if err := checkCreator(have, v); err != nil {
		return false, err
	}
	return true, o.usable()
}

// checkCreator returns an error for an object that another user has made than the one of the checkpoint: a creator can give an object to
// another user, and keeps the owner's rights.
func checkCreator(have *unix.SysvIpcPerm, v *image.SysV) error {
	if have.Cuid == uint32(os.Geteuid()) || have.Cuid == v.Creator || have.Cuid == 0 {
		return nil
	}
	return fmt.Errorf("user %d has made the one that exists now, and could read and change what is in it", have.Cuid)
}

// makeOne makes an object with its old ID.
func (s *sysvObjects) makeOne(o sysvObject) error {
	v := o.saved()
	_, next := o.kind()
	if err := os.WriteFile("/proc/sys/kernel/"+next, []byte(strconv.Itoa(v.ID)), 0); err != nil {
		return fmt.Errorf("choosing its ID: %w", err)
	}
	key := v.Key
	if v.Removed {
		key = unix.IPC_PRIVATE
	}
	id, err := o.get(key, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	if id != v.ID {
		v.ID = id
		o.remove()
		return fmt.Errorf("its ID is taken: the kernel gave %d", id)
	}
	s.made = append(s.made, o)
	return o.set(v.Mode | 0o600)
}

// commit puts the content back. The content of segments is written when the members have attached them. Preconditions: the members are ready.
func (s *sysvObjects) commit(g *image.Group) error {
	for _, o := range sysvOf(g) {
		have, err := o.stat()
		if err == nil { // its owner may have removed it and made another one
			err = checkCreator(have, o.saved())
		}
		if err == nil {
			err = o.set(o.saved().Mode | 0o600) // so that crak can change the content
		}
		if err == nil {
			err = o.fill()
		}
		if err == nil {
			err = o.set(o.saved().Mode)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", sysvName(o), err)
		}
	}
	return nil
}

// remove undoes make.
func (s *sysvObjects) remove() {
	for _, o := range s.made {
		o.remove()
	}
	s.made = nil
}

// checkSysV finds objects that the program cannot have in this IPC namespace.
func checkSysV(g *image.Group) (all obstacle.List) {
	for _, o := range sysvOf(g) {
		if _, err := findSysV(o); err != nil {
			name, _ := o.kind()
			option := map[string]string{"shared memory": "-m", "semaphore set": "-s", "message queue": "-q"}[name]
			all = append(all, obstacle.Obstacle{What: sysvName(o), Why: err.Error(),
				Do: "remove it with ipcrm " + option + ", or restart with --pids=fresh, which has System V objects of its own"})
		}
	}
	return all
}

// lives tells whether a process exists that began before a moment, in seconds since 1970: a later one only has the same PID.
func lives(pid int, before int64) bool {
	if pid <= 0 {
		return false
	}
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil || stat.HasEnded() {
		return false
	}
	var now, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME, &now) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return true
	}
	const ticks = 100 // USER_HZ
	return now.Sec-boot.Sec+int64(stat.StartTime/ticks)-1 <= before
}

// errUsed is the error for an object that a process outside the program uses.
func errUsed(pid int) error {
	return fmt.Errorf("process %d, which is not of the program, uses it", pid)
}

// own fills in what IPC_SET sets. It returns whether that is what the kernel has.
func own(have *unix.SysvIpcPerm, v *image.SysV, mode uint32) bool {
	same := have.Uid == v.UID && have.Gid == v.GID && have.Mode&0o777 == mode
	have.Uid, have.Gid, have.Mode = v.UID, v.GID, mode
	return same
}

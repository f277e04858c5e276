package restore

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/sysv"
)

const stranger = 12345

// as runs a function with another user ID, on a thread of its own.
func as(uid uint32, do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this function
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			result <- errno
			return
		}
		result <- do()
	}()
	return <-result
}

// TestSysVOfStranger: another user has made objects with the keys of the program's, and has given them to the program's user. The kernel
// lets a creator use an object for ever, so a restart does not put the program's content there.
func TestSysVOfStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: the objects belong to two users")
	}
	key := rand.Int32()
	var segmentID, set, queue int
	give := func(perm *unix.SysvIpcPerm) { perm.Uid, perm.Gid, perm.Mode = 0, 0, 0o600 }
	err := as(stranger, func() (err error) {
		if segmentID, err = unix.SysvShmGet(int(key), image.PageSize, unix.IPC_CREAT|unix.IPC_EXCL|0o600); err != nil {
			return err
		}
		var segment unix.SysvShmDesc
		_, err1 := unix.SysvShmCtl(segmentID, unix.IPC_STAT, &segment)
		give(&segment.Perm)
		_, err2 := unix.SysvShmCtl(segmentID, unix.IPC_SET, &segment)
		if set, err = sysv.SemGet(key, 1, unix.IPC_CREAT|unix.IPC_EXCL|0o600); err != nil {
			return err
		}
		var semaphores sysv.SetDesc
		_, err3 := sysv.SemCtl(set, 0, unix.IPC_STAT, unsafe.Pointer(&semaphores))
		give(&semaphores.Perm)
		_, err4 := sysv.SemCtl(set, 0, unix.IPC_SET, unsafe.Pointer(&semaphores))
		if queue, err = sysv.MsgGet(key, unix.IPC_CREAT|unix.IPC_EXCL|0o600); err != nil {
			return err
		}
		var messages sysv.QueueDesc
		_, err5 := sysv.MsgCtl(queue, unix.IPC_STAT, &messages)
		give(&messages.Perm)
		_, err6 := sysv.MsgCtl(queue, unix.IPC_SET, &messages)
		return errors.Join(err1, err2, err3, err4, err5, err6)
	})
	t.Cleanup(func() {
		unix.SysvShmCtl(segmentID, unix.IPC_RMID, nil)
		sysv.SemCtl(set, 0, unix.IPC_RMID, nil)
		sysv.MsgCtl(queue, unix.IPC_RMID, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	saved := func(id int) image.SysV { return image.SysV{ID: id, Key: key, Mode: 0o600} }
	memory := saved(segmentID)
	g := &image.Group{
		Memory:     []image.MemoryObject{{ID: 1, Kind: image.MemorySysV, Size: image.PageSize, SysV: &memory}},
		Semaphores: []image.SemaphoreSet{{SysV: saved(set), Values: []uint16{1}}},
		Queues:     []image.MessageQueue{{SysV: saved(queue), Limit: 100, Messages: []image.Message{{Type: 1, Text: []byte("secret")}}}},
	}
	all := checkSysV(g)
	if len(all) != 3 {
		t.Errorf("%d obstacles: %v", len(all), all)
	}
	for _, o := range all {
		if !strings.Contains(o.Why, "user 12345 has made the one that exists now") {
			t.Error(o)
		}
	}
	if err := new(sysvObjects).make(g); err == nil {
		t.Error("the restart uses the objects of the stranger")
	}
}

// TestSysVRemade: root's program has given its objects to another user, but this user did not make them. This user makes them again: before a
// restart, or while it is under way. The restart of root's program does not use them.
func TestSysVRemade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: the objects belong to two users")
	}
	saved := image.SysV{Key: rand.Int32(), Mode: 0o600, UID: stranger, GID: stranger}
	var first sysvObjects
	g := &image.Group{Memory: []image.MemoryObject{{ID: 1, Kind: image.MemorySysV, Size: image.PageSize, SysV: &saved}}}
	var err error
	if saved.ID, err = unix.SysvShmGet(int(saved.Key), image.PageSize, unix.IPC_CREAT|unix.IPC_EXCL|0o600); err != nil {
		t.Fatal(err)
	}
	unix.SysvShmCtl(saved.ID, unix.IPC_RMID, nil)
	t.Cleanup(func() { unix.SysvShmCtl(saved.ID, unix.IPC_RMID, nil) })
	if err := first.make(g); err != nil {
		t.Fatal(err)
	}
	err = as(stranger, func() error { // as its owner
		_, err := unix.SysvShmCtl(saved.ID, unix.IPC_RMID, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sys/kernel/shm_next_id", []byte(strconv.Itoa(saved.ID)), 0); err != nil {
		t.Skip("this kernel does not let root choose an ID:", err)
	}
	err = as(stranger, func() error { // this user would make and remove segments until the kernel gives this ID again
		id, err := unix.SysvShmGet(int(saved.Key), image.PageSize, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
		if err == nil && id != saved.ID {
			err = errors.New("another ID")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.commit(g); err == nil || !strings.Contains(err.Error(), "user 12345 has made the one that exists now") {
		t.Errorf("the restart under way uses the segment of the stranger: %v", err)
	}
	if err := new(sysvObjects).make(g); err == nil {
		t.Error("the next restart uses the segment of the stranger")
	}
	saved.Creator = stranger
	if err := new(sysvObjects).make(g); err != nil {
		t.Errorf("it was this user's: %v", err)
	}
}

// TestSysVFlood: a process sends messages to a queue faster than a restart can take them out. Here they are there already, and are more than
// the restart takes.
func TestSysVFlood(t *testing.T) {
	defer func(most int) { mostDropped = most }(mostDropped)
	mostDropped = 100
	id, err := sysv.MsgGet(unix.IPC_PRIVATE, unix.IPC_CREAT|0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sysv.MsgCtl(id, unix.IPC_RMID, nil) })
	q := &messages{MessageQueue: &image.MessageQueue{SysV: image.SysV{ID: id}, Messages: []image.Message{{Type: 7, Text: []byte("saved")}}}}
	count := func() uint64 {
		if _, err := sysv.MsgCtl(id, unix.IPC_STAT, &q.have); err != nil {
			t.Fatal(err)
		}
		return q.have.Messages
	}
	flood := func(n int) {
		for range n {
			if err := sysv.Send(id, 1, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	flood(99)
	if err := q.fill(); err != nil || count() != 1 {
		t.Errorf("after 99 messages: %v, %d messages", err, count())
	}
	flood(150)
	if err := q.fill(); err == nil || !strings.Contains(err.Error(), "sends messages to it all the time") || count() != 51 {
		t.Errorf("after 151 messages: %v, %d messages", err, count())
	}
}

// TestLivesWithoutLeader: a process of which only the thread group leader has exited still uses a System V object.
func TestLivesWithoutLeader(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3: not installed")
	}
	process := exec.Command(python, "-c", `import threading, time, ctypes
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)`)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Wait()
	defer process.Process.Kill()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // no event tells of the end of another process's thread
		stat, err := proc.Read(process.Process.Pid, "stat", proc.Stat)
		if err == nil && stat.State == 'Z' && stat.Threads == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the leader does not exit: %+v, %v", stat, err)
		}
	}
	if !lives(process.Process.Pid, time.Now().Unix()+10) {
		t.Error("taken for a process that has ended")
	}
}

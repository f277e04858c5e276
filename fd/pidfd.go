package fd

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/program"
)

// Pidfd is the record of a pidfd (pidfd_open(2)). Its flags PIDFD_NONBLOCK and PIDFD_THREAD are status flags.
type Pidfd struct {
	Pid image.Pid `json:"pid,omitempty"` // of a process, a zombie or a thread; 0: the process has ended, and its parent has waited for it

	// These are set only if the parent of the process has waited for it:
	Status uint32              `json:"status,omitempty"` // how it ended (wait(2)), if the kernel shows this (since Linux 6.15)
	Same   image.DescriptionID `json:"same,omitempty"`   // another pidfd of this process
}

const (
	pidfdFlags   = unix.O_NONBLOCK | unix.O_EXCL // PIDFD_NONBLOCK, PIDFD_THREAD
	pidfdIgnored = unix.O_ACCMODE | unix.O_LARGEFILE | 0o100000
	pidfdGetInfo = 0xC040FF0B // PIDFD_GET_INFO of linux/pidfd.h, with 64 bytes
	pidfdExit    = 1 << 3     // PIDFD_INFO_EXIT
)

var pidfd = kind{
	name:    "pidfd",
	is:      func(o *open) bool { return o.link == "anon_inode:[pidfd]" || strings.HasPrefix(o.link, "pidfd:") },
	capture: capturePidfd,
	describe: func(d image.Description) string {
		r, _ := record[Pidfd](d)
		switch {
		case r.Pid == 0:
			return "pidfd of a process that has ended"
		case d.Flags&unix.O_EXCL != 0:
			return fmt.Sprintf("pidfd of thread %d", r.Pid)
		}
		return fmt.Sprintf("pidfd of process %d", r.Pid)
	},
	check: func(d image.Description, _ *Env) obstacle.List {
		if _, err := pidfdRecord(d); err != nil {
			return broken(err)
		}
		return nil
	},
	create: func(d image.Description, _ *Env) (*os.File, error) {
		if _, err := pidfdRecord(d); err != nil {
			return nil, err
		}
		return placeholder()
	},
	attach:   attachPidfd,
	byMember: func(image.Description) bool { return true },
	refers: func(d image.Description) (all References) {
		r, err := pidfdRecord(d)
		if err == nil && r.Pid != 0 {
			all.Processes = []image.Pid{r.Pid}
		}
		if err == nil && r.Same != 0 {
			all.Descriptions = []image.DescriptionID{r.Same}
		}
		return all
	},
}

func pidfdRecord(d image.Description) (Pidfd, error) {
	r, err := record[Pidfd](d)
	switch {
	case err != nil:
	case r.Pid < 0 || r.Pid != 0 && (r.Status != 0 || r.Same != 0) || r.Same == d.ID:
		err = fmt.Errorf("description %d: pidfd: process %d, status %#x, same as description %d", d.ID, r.Pid, r.Status, r.Same)
	case r.Status&^0xffff != 0 || unix.WaitStatus(r.Status).Signal() > 64:
		err = fmt.Errorf("description %d: pidfd: status %#x: not one of wait(2)", d.ID, r.Status)
	}
	return r, err
}

func capturePidfd(c *capture, o *open) (any, error) {
	if o.flags&^(pidfdFlags|pidfdIgnored|setFlags) != 0 {
		return nil, obstacle.Obstacle{What: "pidfd", Why: fmt.Sprintf("its flags %#x are not known", o.flags), Do: closeIt}
	}
	info, err := o.fdinfo()
	if err != nil {
		return nil, err
	}
	text := info.text("Pid")
	pid, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("fdinfo: Pid: %q: not a number", text)
	}
	r := &Pidfd{}
	if pid == -1 {
		r.Status = exitStatus(o)
		// Since Linux 6.9, all pidfds of a process have the same inode. A pidfd that is opened through another one has no PIDFD_THREAD.
		if first := c.gone[o.inode()]; first != nil && o.stat.Mode&unix.S_IXUSR != 0 && o.flags&unix.O_EXCL == 0 {
			c.later = append(c.later, func() error {
				r.Same = c.ids[first]
				return nil
			})
			return r, nil
		}
		if c.gone == nil {
			c.gone = make(map[Inode]*open)
		}
		c.gone[o.inode()] = o
		return r, nil
	}
	if r.Pid = c.inGroup(pid); r.Pid == 0 {
		which := "a process outside of this PID namespace"
		if pid != 0 {
			which = processName(pid)
		}
		return nil, obstacle.Obstacle{What: "pidfd", Why: "it refers to " + which + ", which does not belong to the program",
			Do: closeIt}
	}
	return r, nil
}

// exitStatus asks the kernel how the process of a pidfd has ended. The result is 0 if the kernel does not show this.
func exitStatus(o *open) uint32 {
	if !o.handle.asks() {
		return 0
	}
	const offset = 60 // of exit_code in struct pidfd_info
	var info [64]byte
	binary.NativeEndian.PutUint64(info[:], pidfdExit)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(o.handle.fd), pidfdGetInfo, uintptr(unsafe.Pointer(&info[0])))
	if errno != 0 || binary.NativeEndian.Uint64(info[:])&pidfdExit == 0 {
		return 0
	}
	return binary.NativeEndian.Uint32(info[offset:])
}

// inGroup returns the number that a process, zombie or thread of the group has in the group's PID namespace, or 0. pid is its
// number as the writer sees it.
func (c *capture) inGroup(pid int) image.Pid {
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil || len(status.NSpid) == 0 {
		return 0
	}
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return 0
	}
	for _, d := range c.members {
		if status.Tgid == d.member.Pid || stat.State == 'Z' && stat.PPid == d.member.Pid {
			return image.Pid(status.NSpid[len(status.NSpid)-1])
		}
	}
	return 0
}

// attachPidfd has the maker open the pidfd. If the process of the pidfd had ended and its parent had waited for it, the maker makes a new
// process that ends in the same way, and opens a pidfd of that one.
func attachPidfd(d image.Description, a *Attach) error {
	r, err := pidfdRecord(d)
	if err != nil {
		return err
	}
	flags := program.Const(d.Flags & pidfdFlags)
	var file program.Arg
	open := func(pid program.Arg) { file = a.Call(unix.SYS_PIDFD_OPEN, pid, flags).Keep().Arg() }
	switch {
	case r.Pid != 0:
		a.Exist()
		open(program.Const(r.Pid))
	case r.Same != 0:
		path := fmt.Sprintf("/proc/self/fd/%d", a.Placed(r.Same).Value)
		file = a.Call(unix.SYS_OPEN, a.Set.String(path), program.Const(unix.O_RDWR|unix.O_CLOEXEC|d.Flags&unix.O_NONBLOCK), program.Const(0)).Keep().Arg()
	default:
		a.Ended(r.Status, open)
	}
	if set := d.Flags & setFlags &^ unix.O_NONBLOCK; set != 0 {
		a.Call(unix.SYS_FCNTL, file, program.Const(unix.F_SETFL), program.Const(d.Flags&setFlags))
	}
	a.Replace(d, file)
	return nil
}

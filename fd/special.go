package fd

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/program"
)

// Special is the record of a file or directory whose content the kernel generates when it is read: /proc/meminfo,
// /sys/…. A restart opens it by its path. Its size and time mean nothing.
type Special struct {
	File    image.File `json:"file"`
	Process image.Pid  `json:"process,omitempty"` // a file of /proc about this process, thread or zombie of the group: a member opens it
	Own     bool       `json:"own,omitempty"`     // in older images: a file of /proc about the process that has it
}

// specialFilesystems are the file systems with such files, and their names.
var specialFilesystems = map[int64]string{
	unix.PROC_SUPER_MAGIC:    "proc",
	unix.SYSFS_MAGIC:         "sysfs",
	unix.DEBUGFS_MAGIC:       "debugfs",
	unix.TRACEFS_MAGIC:       "tracefs",
	unix.SECURITYFS_MAGIC:    "securityfs",
	unix.CGROUP_SUPER_MAGIC:  "cgroup",
	unix.CGROUP2_SUPER_MAGIC: "cgroup2",
	unix.BPF_FS_MAGIC:        "bpf",
	unix.EFIVARFS_MAGIC:      "efivarfs",
	unix.SELINUX_MAGIC:       "selinuxfs",
	unix.NSFS_MAGIC:          "nsfs",
	0x62656570:               "configfs",
	mqueueMagic:              "mqueue",
}

// rereadable are those where opening a file for reading has no effect and always gives the same file.
var rereadable = map[int64]bool{
	unix.PROC_SUPER_MAGIC:    true,
	unix.SYSFS_MAGIC:         true,
	unix.CGROUP_SUPER_MAGIC:  true,
	unix.CGROUP2_SUPER_MAGIC: true,
}

// ofProcess tells whether a path of procfs is about one process.
func ofProcess(path string) bool {
	pid, _, _ := strings.Cut(strings.TrimPrefix(path, "/proc/"), "/")
	_, err := strconv.ParseUint(pid, 10, 32)
	return err == nil && strings.HasPrefix(path, "/proc/")
}

var special = kind{
	name:  "special",
	seeks: true,
	is: func(o *open) bool {
		format := o.format()
		plain := format == unix.S_IFREG || format == unix.S_IFDIR || o.flags&unix.O_PATH != 0
		return plain && o.hasPath() && specialFilesystems[o.filesystem] != ""
	},
	capture: captureSpecial,
	describe: func(d image.Description) string {
		r, _ := record[Special](d)
		return r.File.Path
	},
	check: func(d image.Description, env *Env) obstacle.List {
		r, err := record[Special](d)
		if err != nil {
			return broken(err)
		}
		if c := CompareFile(r.File); c.Change == Gone && !r.ofMember() {
			return obstacle.List{{What: r.File.Path, Why: c.String(), Do: "restart on a kernel that has this file"}}
		}
		return nil
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Special](d)
		if err != nil {
			return nil, err
		}
		if r.ofMember() {
			return placeholder()
		}
		return openAt(r.File.Path, d.Flags, func(st *unix.Stat_t) error {
			if st.Mode&unix.S_IFMT != r.File.Mode&unix.S_IFMT {
				return fmt.Errorf("%s: is now another kind of file", r.File.Path)
			}
			return nil
		})
	},
	attach: attachSpecial,
	byMember: func(d image.Description) bool {
		r, err := record[Special](d)
		return err == nil && r.ofMember()
	},
	refers: func(d image.Description) References {
		if r, _ := record[Special](d); r.Process != 0 {
			return References{Processes: []image.Pid{r.Process}}
		}
		return References{}
	},
}

func (r *Special) ofMember() bool { return r.Own || r.Process != 0 }

// attachSpecial opens a file of /proc about a process of the group. All numbers of the member are in use by now, so open returns
// none of them.
func attachSpecial(d image.Description, a *Attach) error {
	r, err := record[Special](d)
	if err != nil || !r.ofMember() {
		return err
	}
	if r.Process != 0 && r.Process != a.Member.Pid {
		a.Exist()
	}
	file := a.Call(unix.SYS_OPEN, a.Set.String(r.File.Path), program.Const(d.Flags|unix.O_CLOEXEC), program.Const(0)).
		Note(r.File.Path).Keep().Arg()
	a.Replace(d, file)
	if d.Offset != 0 && a.First && len(a.Descriptors) > 0 {
		// To find an offset, the kernel generates the content, and keeps it for the next read. So the process has its name by then.
		number := program.Const(a.Descriptors[0].Fd)
		a.AtGo(func() {
			a.Call(unix.SYS_LSEEK, number, program.Const(d.Offset), program.Const(unix.SEEK_SET)).MayFail()
		})
	}
	return nil
}

// processOf returns the process or thread of the group that a path of procfs is about, or 0.
func (c *capture) processOf(path string) image.Pid {
	words := strings.Split(path, "/") // "", "proc", PID, "task", TID, …
	if len(words) < 3 {
		return 0
	}
	number := words[2]
	if len(words) > 4 && words[3] == "task" {
		number = words[4]
	}
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return c.numbered(image.Pid(pid))
}

// numbered tells whether a process, zombie or thread of the group has a number in the group's PID namespace. It returns the number, or 0.
func (c *capture) numbered(pid image.Pid) image.Pid {
	for _, d := range c.members {
		if d.member.Inside == int(pid) {
			return pid
		}
	}
	for _, d := range c.members {
		tids, _ := proc.Tasks(d.member.Pid)
		for _, tid := range tids {
			children, _ := proc.ReadFile(proc.Path(d.member.Pid, fmt.Sprintf("task/%d/children", tid)))
			for _, one := range append(strings.Fields(string(children)), strconv.Itoa(tid)) {
				if outside, err := strconv.Atoi(one); err == nil && c.inGroup(outside) == pid {
					return pid
				}
			}
		}
	}
	return 0
}

// isOtherSysctl tells whether a file is of /proc/sys of a namespace in which the writer is not. By the path of such a file the kernel shows
// each process the file of its own namespaces, so the writer finds another inode there.
func (o *open) isOtherSysctl() bool {
	var st unix.Stat_t
	return o.filesystem == unix.PROC_SUPER_MAGIC && strings.HasPrefix(o.link, "/proc/sys/") &&
		unix.Lstat(o.proc()+"/root"+o.link, &st) == nil && st.Dev == o.stat.Dev && st.Mode&unix.S_IFMT == o.stat.Mode&unix.S_IFMT
}

func captureSpecial(c *capture, o *open) (any, error) {
	fs := o.filesystem
	path, where := o.where()
	refusal := obstacle.Obstacle{What: o.link, Do: closeIt}
	switch {
	case !rereadable[fs]:
		refusal.Why = "files of " + specialFilesystems[fs] + " are not supported"
	case where != there && !o.isOtherSysctl():
		refusal.Why = "it cannot be opened by this path again"
	case o.writable() && o.flags&unix.O_PATH == 0:
		refusal.Why = "a file of " + specialFilesystems[fs] + " open for writing is not supported"
	case fs == unix.PROC_SUPER_MAGIC && ofProcess(path):
		if pid := c.processOf(path); pid != 0 {
			return &Special{File: o.file(path), Process: pid}, nil
		}
		refusal.Why = "a file of /proc about a process outside of the program is not supported"
	default:
		return &Special{File: o.file(path)}, nil
	}
	return nil, refusal
}

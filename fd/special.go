package fd

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/restore/program"
)

// Special is the record of a file or directory whose content the kernel generates when it is read: /proc/meminfo,
// /sys/…. A restart opens it by its path. Its size and time mean nothing.
type Special struct {
	File     image.File `json:"file"`
	ProcSelf bool       `json:"own,omitempty"` // a file of /proc about the process itself: only that process can open it
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
	0x19800202:               "mqueue",
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
		return (format == unix.S_IFREG || format == unix.S_IFDIR) && o.hasPath() && specialFilesystems[o.filesystem] != ""
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
		if c := CompareFile(r.File); c.Change == Gone && !r.ProcSelf {
			return obstacle.List{{What: r.File.Path, Why: c.String(), Do: "restart on a kernel that has this file"}}
		}
		return nil
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Special](d)
		if err != nil {
			return nil, err
		}
		if r.ProcSelf {
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
		return err == nil && r.ProcSelf
	},
}

// attachSpecial opens a file of /proc about the process itself. All numbers of the process are in use by now, so open returns
// none of them.
func attachSpecial(d image.Description, a *Attach) error {
	r, err := record[Special](d)
	if err != nil || !r.ProcSelf {
		return err
	}
	file := a.Call(unix.SYS_OPEN, a.Set.String(r.File.Path), program.Const(d.Flags|unix.O_CLOEXEC), program.Const(0)).
		Note(r.File.Path).Keep().Arg()
	if d.Offset != 0 {
		a.Call(unix.SYS_LSEEK, file, program.Const(d.Offset), program.Const(unix.SEEK_SET)).Want(uint64(d.Offset))
	}
	a.Replace(d, file)
	return nil
}

// isProcSelf tells whether a path is about the process or its first thread.
func (m *Member) isProcSelf(path string) bool {
	pid := strconv.Itoa(m.Inside)
	rest, ok := strings.CutPrefix(path, "/proc/"+pid)
	task, ofThread := strings.CutPrefix(rest, "/task/")
	return ok && (rest == "" || rest[0] == '/') && (!ofThread || task == pid || strings.HasPrefix(task, pid+"/"))
}

func captureSpecial(c *capture, o *open) (any, error) {
	fs := o.filesystem
	path, where := o.where()
	refusal := obstacle.Obstacle{What: o.link, Do: closeIt}
	switch {
	case !rereadable[fs]:
		refusal.Why = "files of " + specialFilesystems[fs] + " are not supported"
	case where != there:
		refusal.Why = "it cannot be opened by this path again"
	case o.writable():
		refusal.Why = "a file of " + specialFilesystems[fs] + " open for writing is not supported"
	case fs == unix.PROC_SUPER_MAGIC && o.member.isProcSelf(path):
		return &Special{File: o.file(path), ProcSelf: true}, nil
	case fs == unix.PROC_SUPER_MAGIC && ofProcess(path):
		refusal.Why = "a file of /proc about another process, or another thread, is not supported"
	default:
		return &Special{File: o.file(path)}, nil
	}
	return nil, refusal
}

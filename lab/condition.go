package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// condition evaluates a condition in brackets. doc.go lists the conditions.
func (l *Lab) condition(id Identity, cond string) (bool, error) {
	kind, what, _ := strings.Cut(cond, ":")
	switch kind {
	case "root", "user":
		return id.Name == kind, nil
	case "superuser":
		return os.Geteuid() == 0, nil
	case "userns":
		return id.can("unshare", "--user", "--map-root-user", "--pid", "--fork", "true"), nil
	case "keep":
		return id.UID == 0 && capable(unix.CAP_CHECKPOINT_RESTORE), nil
	case "mount":
		return id.UID == 0 && id.can("unshare", "--mount", "true"), nil
	case "prog":
		return program(what), nil
	case "kernel":
		return kernel(what)
	case "cap":
		n, ok := capabilities[what]
		if !ok {
			return false, fmt.Errorf("capability %q: unknown", what)
		}
		return id.UID == 0 && capable(n), nil
	case "feature":
		probe, ok := features[what]
		if !ok {
			return false, fmt.Errorf("feature %q: unknown", what)
		}
		return probe(l, id), nil
	}
	return false, fmt.Errorf("condition %q: unknown", cond)
}

// can runs a program as the identity and reports whether it succeeds.
func (id Identity) can(name string, args ...string) bool {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = id.attributes()
	return cmd.Run() == nil
}

func program(name string) bool {
	for _, dir := range systemPath {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

// kernel reports whether the kernel is of this version or later.
func kernel(version string) (bool, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false, err
	}
	have := numbers(unix.ByteSliceToString(name.Release[:]))
	for i, want := range numbers(version) {
		if i >= len(have) || have[i] < want {
			return false, nil
		}
		if have[i] > want {
			return true, nil
		}
	}
	return true, nil
}

// numbers are the numbers that a version begins with.
func numbers(version string) []int {
	var all []int
	for _, field := range strings.FieldsFunc(version, func(r rune) bool { return r == '.' || r == '-' }) {
		n, err := strconv.Atoi(field)
		if err != nil {
			break
		}
		all = append(all, n)
	}
	return all
}

var capabilities = map[string]int{
	"sys_admin": unix.CAP_SYS_ADMIN, "sys_resource": unix.CAP_SYS_RESOURCE, "sys_nice": unix.CAP_SYS_NICE,
	"sys_ptrace": unix.CAP_SYS_PTRACE, "checkpoint_restore": unix.CAP_CHECKPOINT_RESTORE, "setuid": unix.CAP_SETUID,
	"setpcap": unix.CAP_SETPCAP, "ipc_lock": unix.CAP_IPC_LOCK, "sys_chroot": unix.CAP_SYS_CHROOT,
}

// capable reports whether the lab itself has a capability in effect.
func capable(n int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[n/32].Effective&(1<<(n%32)) != 0
}

// features are those that a kernel or a machine may lack. Each function looks for one.
var features = map[string]func(*Lab, Identity) bool{
	"hugetlb":       func(*Lab, Identity) bool { return number("/proc/sys/vm/nr_hugepages") > 0 },
	"memory-cgroup": func(*Lab, Identity) bool { return memoryCgroup() },
	"thp": func(*Lab, Identity) bool {
		data, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
		return err == nil && !strings.Contains(string(data), "[never]")
	},
	"timens": func(*Lab, Identity) bool { _, err := os.Stat("/proc/self/timens_offsets"); return err == nil },
	"ksm":    func(*Lab, Identity) bool { _, err := os.Stat("/sys/kernel/mm/ksm/run"); return err == nil },
	"avx":    func(*Lab, Identity) bool { return cpu("avx") },
	"avx2":   func(*Lab, Identity) bool { return cpu("avx2") },
	"avx512": func(*Lab, Identity) bool { return cpu("avx512f") },
	"secretmem": func(*Lab, Identity) bool {
		n, _, errno := unix.Syscall(unix.SYS_MEMFD_SECRET, unix.O_CLOEXEC, 0, 0)
		if errno == 0 {
			unix.Close(int(n))
		}
		return errno == 0
	},
	"mdwe": func(*Lab, Identity) bool { return prctl(unix.PR_GET_MDWE) },
	"timer-restore-ids": func(*Lab, Identity) bool {
		return prctl(unix.PR_TIMER_CREATE_RESTORE_IDS, unix.PR_TIMER_CREATE_RESTORE_IDS_GET)
	},
	"go":     func(*Lab, Identity) bool { _, err := exec.LookPath("go"); return err == nil },
	"m32":    func(l *Lab, _ Identity) bool { return l.compiles("-m32") },
	"static": func(l *Lab, _ Identity) bool { return l.compiles("-static") },
	"openmp": func(l *Lab, _ Identity) bool { return l.compiles("-fopenmp") },
	"asan":   func(l *Lab, _ Identity) bool { return l.compiles("-fsanitize=address") },
}

// memoryCgroup reports whether a memory control group can be made, of either version.
func memoryCgroup() bool {
	for top, limit := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"} {
		group, err := os.MkdirTemp(top, "crak-lab-probe")
		if err != nil {
			continue
		}
		_, err = os.Stat(filepath.Join(group, limit))
		if os.Remove(group) == nil && err == nil {
			return true
		}
	}
	return false
}

func prctl(option int, args ...uintptr) bool {
	args = append(args, 0, 0, 0, 0)
	return unix.Prctl(option, args[0], args[1], args[2], args[3]) == nil
}

func number(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return n
}

func cpu(flag string) bool {
	data, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(data), " "+flag+" ")
}

// compiles reports whether the compiler makes a program with this flag.
func (l *Lab) compiles(flag string) bool {
	cmd := exec.Command("cc", flag, "-x", "c", "-", "-o", filepath.Join(l.tools, "probe"+flag))
	cmd.Stdin = strings.NewReader("#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n")
	return cmd.Run() == nil
}

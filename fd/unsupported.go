package fd

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
)

// unsupported matches everything that no other kind matches, and refuses it by name.
var unsupported = kind{
	name: "unsupported",
	is:   func(*open) bool { return true },
	capture: func(c *capture, o *open) (any, error) {
		return nil, refusal(o)
	},
}

// anonymous are files that can be told by their link in /proc, and what a user can do about them.
var anonymous = []struct{ prefix, what, do string }{
	{"anon_inode:[fanotify]", "fanotify group", ""},
	{"anon_inode:[io_uring]", "io_uring instance", "start the program with its io_uring support off (UV_USE_IO_URING=0 for libuv, --innodb-use-native-aio=0 for MariaDB)"},
	{"anon_inode:[userfaultfd]", "userfaultfd", ""},
	{"anon_inode:[perf_event]", "perf event", "stop profiling before the checkpoint"},
	{"anon_inode:bpf", "BPF object", ""},
	{"anon_inode:btf", "BPF object", ""},
	{"anon_inode:kvm", "KVM object", ""},
	{"anon_inode:[landlock", "Landlock ruleset", ""},
	{"anon_inode:seccomp", "seccomp listener", ""},
	{"anon_inode:dma-buf", "DMA buffer", "checkpoint the program while it does not use the GPU"},
	{"/dmabuf:", "DMA buffer", "checkpoint the program while it does not use the GPU"},
	{"anon_inode:sync_file", "GPU fence", "checkpoint the program while it does not use the GPU"},
	{"/secretmem", "memfd_secret", "checkpoint the program when it has no secret memory, or start it without"},
	{"/dev/nvidia", "NVIDIA device", "checkpoint the program while it does not use the GPU"},
	{"/dev/dri/", "GPU", "checkpoint the program while it does not use the GPU"},
}

// closeIt is the hint if there is no better one.
const closeIt = "close the descriptor before the checkpoint, or leave it out with crak checkpoint --fd N=close if the program does not use it"

func refusal(o *open) obstacle.Obstacle {
	if o.flags&unix.O_PATH != 0 && !o.hasPath() {
		return obstacle.Obstacle{What: o.link, Why: "it was opened with O_PATH, through /proc, and has no path", Do: closeIt}
	}
	why := obstacle.Obstacle{
		What: o.link,
		Why:  "not supported",
		Do:   closeIt + ", or start the program without the feature that needs it",
	}
	for _, a := range anonymous {
		if !strings.HasPrefix(o.link, a.prefix) {
			continue
		}
		why.What = a.what
		if o.hasPath() {
			why.Detail = o.link
		}
		if a.do != "" {
			why.Do = a.do
		}
		return why
	}
	switch o.format() {
	case unix.S_IFSOCK:
		why.What, why.Detail = socketName(o), o.link
		if strings.HasPrefix(o.protocol, "MPTCP") {
			why.Do = "let the program use TCP instead: a Go program does with GODEBUG=multipathtcp=0 in its environment"
		}
	case unix.S_IFIFO:
		why.What, why.Detail = "FIFO", o.link
	case unix.S_IFCHR:
		major, minor := o.rdev()
		if major == auxMajor && minor == 2 {
			why.What, why.Detail = "master of a pseudo-terminal", o.link
			break
		}
		why.What, why.Detail = "character device", fmt.Sprintf("%s, %d:%d", o.link, major, minor)
	case unix.S_IFBLK:
		major, minor := o.rdev()
		why.What, why.Detail = "block device", fmt.Sprintf("%s, %d:%d", o.link, major, minor)
	}
	return why
}

package fd

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// Signalfd is the record of a signalfd (signalfd(2)). The signals that a read returns are pending signals of the reader: they
// come back with its process and thread.
type Signalfd struct {
	Mask uint64 `json:"mask"` // signal N is bit N-1
}

var signalfd = kind{
	name: "signalfd",
	is:   func(o *open) bool { return o.link == "anon_inode:[signalfd]" },
	capture: func(c *capture, o *open) (any, error) {
		info, err := o.fdinfo()
		if err != nil {
			return nil, err
		}
		mask, err := info.number("sigmask", 16)
		if err != nil {
			return nil, err
		}
		return &Signalfd{Mask: mask}, c.private(o, "signalfd")
	},
	describe: func(d image.Description) string {
		r, _ := record[Signalfd](d)
		return fmt.Sprintf("signalfd, mask %#x", r.Mask)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Signalfd](d)
		if err != nil {
			return nil, err
		}
		n, _, errno := unix.Syscall6(unix.SYS_SIGNALFD4, ^uintptr(0), uintptr(unsafe.Pointer(&r.Mask)), unsafe.Sizeof(r.Mask),
			unix.SFD_CLOEXEC|unix.SFD_NONBLOCK, 0, 0)
		if errno != 0 {
			return nil, os.NewSyscallError("signalfd", errno)
		}
		return os.NewFile(n, "signalfd"), nil
	},
}

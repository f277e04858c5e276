package fd

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Eventfd is the record of an eventfd (eventfd(2)).
type Eventfd struct {
	Count     uint64 `json:"count"`
	Semaphore bool   `json:"semaphore,omitempty"` // a read returns 1, and subtracts 1
}

var eventfd = kind{
	name:    "eventfd",
	is:      func(o *open) bool { return o.link == "anon_inode:[eventfd]" },
	capture: captureEventfd,
	describe: func(d image.Description) string {
		r, _ := record[Eventfd](d)
		return fmt.Sprintf("%s of %d", choose(r.Semaphore, "eventfd semaphore", "eventfd"), r.Count)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Eventfd](d)
		if err != nil {
			return nil, err
		}
		if r.Count == math.MaxUint64 {
			return nil, fmt.Errorf("eventfd: %d: too large", r.Count)
		}
		n, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK|choose(r.Semaphore, unix.EFD_SEMAPHORE, 0))
		if err != nil {
			return nil, os.NewSyscallError("eventfd", err)
		}
		return os.NewFile(uintptr(n), "eventfd"), nil
	},
	fill: func(d image.Description, env *Env) error {
		r, err := record[Eventfd](d)
		if err != nil || r.Count == 0 {
			return err
		}
		f, err := env.description(d.ID)
		if err == nil {
			_, err = unix.Write(int(f.Fd()), binary.NativeEndian.AppendUint64(nil, r.Count))
		}
		return err
	},
}

func captureEventfd(c *capture, o *open) (any, error) {
	info, err := o.lines, error(nil)
	if info == nil {
		info, err = o.fdinfo()
	}
	if err != nil {
		return nil, err
	}
	const semaphore = "eventfd-semaphore"
	if !info.has(semaphore) {
		return nil, obstacle.Obstacle{What: "eventfd", Why: "the kernel does not tell whether it is a semaphore; Linux 6.5 does", Do: closeIt}
	}
	r := &Eventfd{}
	if r.Count, err = info.number("eventfd-count", 16); err != nil {
		return nil, err
	}
	flag, err := info.number(semaphore, 10)
	if err != nil {
		return nil, err
	}
	r.Semaphore = flag != 0
	if r.Count == math.MaxUint64 {
		return nil, obstacle.Obstacle{What: "eventfd", Why: "its count has overflowed", Do: closeIt}
	}
	return r, c.private(o, "eventfd")
}

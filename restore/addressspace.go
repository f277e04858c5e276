package restore

import (
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// likeAddressSpace calls do. An exec in do gets the mmap_base that p had: new mappings go below it, and so the stack has as
// much room to grow as it had. Without address space randomization the kernel computes mmap_base from the stack's limit
// (arch/x86/mm/mmap.c).
func likeAddressSpace(p *image.Process, do func() error) error {
	const (
		guardGap    = 256 * image.PageSize
		noRandomize = 0x40000 // ADDR_NO_RANDOMIZE of linux/personality.h
	)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := personality(^uintptr(0))
	if err != nil {
		return err
	}
	if _, err := personality(old | noRandomize); err != nil {
		return err
	}
	defer personality(old)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &limit); err != nil {
		return err
	}
	room := uint64(program.UserEnd) - mapBase(p) - guardGap
	if room < program.UserEnd && room <= limit.Max {
		wide := syscall.Rlimit{Cur: room, Max: limit.Max}
		if syscall.Setrlimit(syscall.RLIMIT_STACK, &wide) == nil {
			defer syscall.Setrlimit(syscall.RLIMIT_STACK, &limit)
		}
	}
	return do()
}

func personality(p uintptr) (uintptr, error) {
	old, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, p, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("personality: %w", errno)
	}
	return old, nil
}

// mapBase is the end of the highest mapping below the stack.
func mapBase(p *image.Process) uint64 {
	base := uint64(program.UserEnd)
	for _, m := range p.Mappings {
		if m.End > p.Layout.StartStack {
			break
		}
		if m.Kind != image.MappingKernel {
			base = uint64(m.End)
		}
	}
	return base
}

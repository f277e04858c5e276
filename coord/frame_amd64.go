package coord

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

// Offsets in a signal frame of amd64 (arch/x86/include/uapi/asm/sigcontext.h): the pointer uc_mcontext.fpstate, and struct
// _fpx_sw_bytes in the software-reserved bytes of the FPU state that it points to.
const (
	fpstatePointer = 224
	argumentsAt    = 104 // uc_mcontext.rdi, then rsi
	numberAt       = 144 // uc_mcontext.rax
	swReserved     = 464
	swMagic        = 0x46505853
)

// extendedState reads which FPU and vector states the signal frames of the image hold, and in how many bytes.
// Preconditions: the process is frozen.
func extendedState(pid int, process *image.Process) (features uint64, size uint32) {
	for _, t := range process.Threads {
		if t.Parked.Frame == 0 {
			continue
		}
		var pointer [8]byte
		var bytes [24]byte
		if err := readMemory(pid, t.Parked.Frame+fpstatePointer, pointer[:]); err != nil {
			return 0, 0
		}
		state := binary.LittleEndian.Uint64(pointer[:])
		if err := readMemory(pid, state+swReserved, bytes[:]); err != nil {
			return 0, 0
		}
		if binary.LittleEndian.Uint32(bytes[:]) != swMagic {
			return 0, 0
		}
		return binary.LittleEndian.Uint64(bytes[8:]), binary.LittleEndian.Uint32(bytes[16:])
	}
	return 0, 0
}

// callOf reads which system call a parked thread makes when it goes on, and the first two arguments. ok is false if it makes none
// at once. The instruction pointer is at the instruction `syscall` then, whether the kernel or the resident has put it there.
func callOf(pid int, t *abi.Thread) (number int, first, second uint64, ok bool) {
	var instruction [2]byte
	var arguments [16]byte
	var rax [8]byte
	if readMemory(pid, t.IP, instruction[:]) != nil || instruction != [2]byte{0x0f, 0x05} {
		return 0, 0, 0, false
	}
	if readMemory(pid, t.Frame+argumentsAt, arguments[:]) != nil || readMemory(pid, t.Frame+numberAt, rax[:]) != nil {
		return 0, 0, 0, false
	}
	n := binary.LittleEndian
	return int(n.Uint64(rax[:])), n.Uint64(arguments[:]), n.Uint64(arguments[8:]), true
}

func readMemory(pid int, address uint64, b []byte) error {
	local := []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
	remote := []unix.RemoteIovec{{Base: uintptr(address), Len: len(b)}}
	n, err := unix.ProcessVMReadv(pid, local, remote, 0)
	if err == nil && n != len(b) {
		err = unix.EFAULT
	}
	return err
}

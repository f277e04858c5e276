package restore

import "encoding/binary"

// systemCallOf is the code that compilers generate for the kernel's clock_gettime_fallback
// (arch/x86/include/asm/vdso/gettimeofday.h).
func systemCallOf(number uint32) []byte {
	code := binary.LittleEndian.AppendUint32([]byte{0xb8}, number) // mov $number, %eax
	return append(code, 0x0f, 0x05)                                // syscall
}

// detourOne replaces the system call at `at` by a jump to new code at `room`, which calls target and jumps back. It returns the
// length of the new code. If the code does not fit, nothing is written. The syscall instruction itself stays, because a thread
// may have been stopped just before it.
func detourOne(code []byte, at, room int, target uint64) int {
	const length = 30
	if room+length > len(code) {
		return length
	}
	le := binary.LittleEndian
	way := []byte{0x48, 0x8d, 0x64, 0x24, 0x80} // lea -128(%rsp), %rsp: the function may use the red zone
	way = le.AppendUint64(append(way, 0x48, 0xb8), target)
	way = append(way, 0xff, 0xd0) // movabs $target, %rax; call *%rax
	way = append(way, 0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0)
	back := at + len(systemCallOf(0))
	way = le.AppendUint32(append(way, 0xe9), uint32(back-(room+length))) // lea 128(%rsp), %rsp; jmp back
	copy(code[room:], way)
	code[at] = 0xe9 // jmp way
	le.PutUint32(code[at+1:], uint32(room-(at+5)))
	return len(way)
}

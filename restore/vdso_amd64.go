package restore

import "encoding/binary"

// jumpTo is code that jumps to an address. It uses r11, which no caller expects to be preserved.
func jumpTo(address uint64) []byte {
	code := binary.LittleEndian.AppendUint64([]byte{0x49, 0xbb}, address) // movabs $address, %r11
	return append(code, 0x41, 0xff, 0xe3)                                 // jmp *%r11
}

// systemCall is code that makes a system call with the arguments of the function, and returns.
func systemCall(number uint32) []byte {
	code := binary.LittleEndian.AppendUint32([]byte{0xb8}, number) // mov $number, %eax
	return append(code,
		0x0f, 0x05, // syscall
		0xc3) // ret
}

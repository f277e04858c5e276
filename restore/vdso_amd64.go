package restore

import "encoding/binary"

// jumpTo goes on at an address, by a register that no function keeps.
func jumpTo(address uint64) []byte {
	code := binary.LittleEndian.AppendUint64([]byte{0x49, 0xbb}, address) // movabs $address, %r11
	return append(code, 0x41, 0xff, 0xe3)                                 // jmp *%r11
}

// systemCall makes a system call with the function's own arguments.
func systemCall(number uint32) []byte {
	code := binary.LittleEndian.AppendUint32([]byte{0xb8}, number) // mov $number, %eax
	return append(code,
		0x0f, 0x05, // syscall
		0xc3) // ret
}

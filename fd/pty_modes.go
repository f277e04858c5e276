package fd

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct termios2.
const (
	atIflag = 0
	atOflag = 4
	atLflag = 12
	atCc    = 17
	ccs     = 19
)

const extproc = 0o200000 // EXTPROC of asm-generic/termbits.h

func flagsAt(termios []byte, at int) uint32 { return binary.NativeEndian.Uint32(termios[at:]) }

func isCanonical(termios []byte) bool { return flagsAt(termios, atLflag)&unix.ICANON != 0 }

// rawModes are modes in which a terminal changes no byte, in either direction. IXON stays as it is: to clear it would start the output
// that ^S has stopped.
func rawModes(termios []byte) []byte {
	raw := slices.Clone(termios)
	binary.NativeEndian.PutUint32(raw[atIflag:], flagsAt(termios, atIflag)&unix.IXON)
	binary.NativeEndian.PutUint32(raw[atOflag:], flagsAt(termios, atOflag)&^unix.OPOST)
	binary.NativeEndian.PutUint32(raw[atLflag:], 0)
	clear(raw[atCc : atCc+ccs]) // _POSIX_VDISABLE
	raw[atCc+unix.VMIN] = 1
	return raw
}

const (
	endOfFile = 0x04 // VEOF of typeModes
	quote     = 0x16 // VLNEXT of typeModes
)

// fillModes are modes in which a terminal takes bytes into its queue as they are. In canonical mode a newline ends a line.
func fillModes(termios []byte) []byte {
	fill := rawModes(termios)
	if isCanonical(termios) {
		binary.NativeEndian.PutUint32(fill[atLflag:], unix.ICANON)
	}
	return fill
}

// typeModes are modes in which the bytes that typed returns become lines.
func typeModes(termios []byte) []byte {
	fill := fillModes(termios)
	if isCanonical(termios) {
		binary.NativeEndian.PutUint32(fill[atLflag:], unix.ICANON|unix.IEXTEN)
		fill[atCc+unix.VEOF], fill[atCc+unix.VLNEXT] = endOfFile, quote
	}
	return fill
}

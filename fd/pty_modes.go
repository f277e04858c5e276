package fd

import (
	"bytes"
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

// fillModes are modes in which a terminal takes bytes into its queue as they are. In canonical mode a newline ends a line. In other
// modes poll(2) reports when `present` bytes have arrived, or 255.
func fillModes(termios []byte, present int) []byte {
	fill := rawModes(termios)
	if isCanonical(termios) {
		binary.NativeEndian.PutUint32(fill[atLflag:], unix.ICANON)
	} else {
		fill[atCc+unix.VMIN] = byte(min(max(present, 1), 255))
	}
	return fill
}

// typeModes are modes in which the bytes that typed returns become lines.
func typeModes(termios []byte, present int) []byte {
	fill := fillModes(termios, present)
	if isCanonical(termios) {
		binary.NativeEndian.PutUint32(fill[atLflag:], unix.ICANON|unix.IEXTEN)
		fill[atCc+unix.VEOF], fill[atCc+unix.VLNEXT] = endOfFile, quote
	}
	return fill
}

// typed returns what has to be typed so that the lines, and the beginning of another one, are in the queue.
func typed(content []byte, lengths []int) (keys []byte) {
	for _, n := range lengths {
		line := content[:n]
		content = content[n:]
		ended := n > 0 && line[n-1] == '\n'
		if ended {
			line = line[:n-1]
		}
		keys = append(quoted(keys, line), choose(ended, byte('\n'), endOfFile))
	}
	return quoted(keys, content)
}

func quoted(keys, text []byte) []byte {
	for _, b := range text {
		if b == '\n' || b == endOfFile || b == quote {
			keys = append(keys, quote)
		}
		keys = append(keys, b)
	}
	return keys
}

// naturalLines tells whether exactly the newlines end lines.
func naturalLines(content []byte, lengths []int) bool {
	for _, n := range lengths {
		if bytes.IndexByte(content[:n], '\n') != n-1 {
			return false
		}
		content = content[n:]
	}
	return bytes.IndexByte(content, '\n') < 0
}

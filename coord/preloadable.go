package coord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Offsets and values of an ELF file (elf(5)). Package debug/elf would do, but costs every program that
// preloads the library a dozen page faults.
const (
	elfMagic     = "\x7fELF"
	elfClass     = 4 // offset; 2: ELFCLASS64
	elfMachine   = 18
	elfPhoff     = 32
	elfPhentsize = 54
	elfPhnum     = 56
	elfHeader    = 64 // bytes
	elfSegment   = 56 // bytes of a program header
	segInterp    = 3  // PT_INTERP
)

// Preloadable looks for a reason why the loader cannot preload libcrak.so into a program. The results are the kind of program
// and what to do; both are "" if there is no reason. They are also "" for a script: libcrak.so is preloaded into the script's
// interpreter.
func Preloadable(path string) (what, do string) {
	f, err := os.Open(path)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	header := make([]byte, elfHeader)
	if _, err := f.ReadAt(header, 0); err != nil || string(header[:4]) != elfMagic {
		return "", ""
	}
	switch got := binary.LittleEndian.Uint16(header[elfMachine:]); {
	case header[elfClass] != 2:
		return "32-bit program", "use a 64-bit build of it"
	case got != machine:
		return fmt.Sprintf("program for another processor, ELF machine %d", got), "use a build for this one"
	}
	dynamic, err := hasInterpreter(f, header)
	if err == nil && !dynamic {
		return "statically linked program", "use a dynamically linked build of it"
	}
	return "", ""
}

// hasInterpreter looks for the segment that names the dynamic loader.
func hasInterpreter(f io.ReaderAt, header []byte) (bool, error) {
	n := binary.LittleEndian
	at, size := int64(n.Uint64(header[elfPhoff:])), int64(n.Uint16(header[elfPhentsize:]))
	if size != elfSegment {
		return false, errors.New("program headers of unknown size")
	}
	segment := make([]byte, elfSegment)
	for range n.Uint16(header[elfPhnum:]) {
		if _, err := f.ReadAt(segment, at); err != nil {
			return false, err
		}
		if n.Uint32(segment) == segInterp {
			return true, nil
		}
		at += size
	}
	return false, nil
}

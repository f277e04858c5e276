package lab

import (
	"math"

	"golang.org/x/sys/unix"
)

// sealInherited keeps what this process inherited beyond stdin, stdout and stderr from the programs under
// test: the stray pipe of a shell, of make or of a CI runner would be an obstacle to each of them.
func sealInherited() error {
	return unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

package compile

import (
	"math/bits"

	"golang.org/x/sys/unix"

	"crak.dev/crak/restore/program"
)

// Codes of arch_prctl(2).
const (
	archSetGS         = 0x1001
	archSetFS         = 0x1002
	archAskPermission = 0x1023 // ARCH_REQ_XCOMP_PERM, Linux 5.16
)

// extendedStates asks the kernel's permission for XSAVE components that a process must request before it uses them (AMX).
// They can be in the signal frames of its threads.
func (c *compiler) extendedStates() {
	for states := c.process.Attributes.ExtendedStates; states != 0; states &= states - 1 {
		c.b.Call(unix.SYS_ARCH_PRCTL, program.Const(archAskPermission), program.Const(bits.TrailingZeros64(states)))
	}
}

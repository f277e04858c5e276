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

// extendedStates asks for the components of XSAVE that a process may not use unasked, and that may be in its
// signal frames.
func (c *compiler) extendedStates() {
	for states := c.process.Attributes.ExtendedStates; states != 0; states &= states - 1 {
		c.b.Call(unix.SYS_ARCH_PRCTL, program.Const(archAskPermission), program.Const(bits.TrailingZeros64(states)))
	}
}

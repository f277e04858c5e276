package compile

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/restore/program"
)

// memoryDescription is struct prctl_mm_map (prctl(2), PR_SET_MM_MAP).
type memoryDescription struct {
	Layout     [11]uint64
	Auxv       uint64
	AuxvSize   uint32
	Executable int32
}

const (
	memoryDescriptionSize = 104
	auxvAt                = 88 // offset of Auxv
)

// layout tells the kernel where the heap, the stack, the arguments and the environment are, and which file is executed. The
// file needs a capability. So the rest is set first, in a call of its own, and the call with the file may fail.
func (c *compiler) layout() {
	l := &c.process.Layout
	d := memoryDescription{
		Layout: [11]uint64{uint64(l.StartCode), uint64(l.EndCode), uint64(l.StartData), uint64(l.EndData),
			uint64(l.StartBrk), uint64(l.Brk), uint64(l.StartStack),
			uint64(l.ArgStart), uint64(l.ArgEnd), uint64(l.EnvStart), uint64(l.EnvEnd)},
		AuxvSize: uint32(len(c.process.Auxv)), Executable: -1,
	}
	auxv := c.set.Bytes(c.process.Auxv)
	set := func() *program.Builder {
		at := c.set.Variable(program.Raw(d))
		c.set.Point(at.At(auxvAt), auxv)
		return c.b.Call(unix.SYS_PRCTL, program.Const(unix.PR_SET_MM), program.Const(unix.PR_SET_MM_MAP),
			at, program.Const(memoryDescriptionSize))
	}
	set().Note("heap, stack, arguments, environment, auxv")
	if c.process.Exe >= 0 {
		d.Executable = int32(c.process.Exe)
		set().MayFail().Note(fmt.Sprintf("/proc/PID/exe: %q", c.process.Executable.Path))
	}
}

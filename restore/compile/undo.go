package compile

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/sysv"
	"crak.dev/crak/restore/program"
)

// undoStep is the most that one call adds to an adjustment. With it, one of the two orders in undoOps always fits.
const undoStep = image.MostSemaphoreValue / 2

// undo restores the process's adjustments of semaphores (SEM_UNDO). It comes after crak has set the values, because that
// sets all adjustments to 0. Each call changes a value and, with SEM_UNDO, changes it back: other processes see neither.
func (c *compiler) undo() {
	for i := range c.target.Group.Semaphores {
		s := &c.target.Group.Semaphores[i]
		for _, u := range s.Undo {
			if u.Pid != c.process.Pid {
				continue
			}
			for left := u.Value; left != 0; {
				step := max(-undoStep, min(left, undoStep))
				left -= step
				ops, _ := binary.Append(nil, binary.NativeEndian, undoOps(u.Semaphore, int(s.Values[u.Semaphore]), step))
				c.b.Call(unix.SYS_SEMOP, program.Const(s.SysV.ID), c.set.Bytes(ops), program.Const(2)).MayFail().
					Note(fmt.Sprintf("SEM_UNDO of semaphore %d", u.Semaphore))
			}
		}
	}
}

// undoOps are operations that add step to the adjustment of semaphore n, which has a value.
func undoOps(n, value, step int) []sysv.Operation {
	undo := sysv.Operation{Number: uint16(n), Change: int16(-step), Flags: sysv.Undo | unix.IPC_NOWAIT}
	back := sysv.Operation{Number: uint16(n), Change: int16(step), Flags: unix.IPC_NOWAIT}
	if up := max(step, -step); (step > 0) == (value+up <= image.MostSemaphoreValue) {
		return []sysv.Operation{back, undo}
	}
	return []sysv.Operation{undo, back}
}

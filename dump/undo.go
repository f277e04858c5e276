package dump

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/sysv"
)

// What the kernel adds to a semaphore when a process ends (semadj in semop(2)) is shown in no file and by no call. But semop(2)
// tests it: an operation with SEM_UNDO fails with ERANGE if semadj would leave the range from -32768 to 32767. One semop carries
// out several operations, all or none. So the initiator makes calls of these operations:
//
//  1. operations without SEM_UNDO that bring the value to 0 or to 32767,
//  2. an operation with SEM_UNDO: the call ends with ERANGE if semadj is beyond a limit,
//  3. an operation that can never succeed: otherwise the call ends with EAGAIN.
//
// No call succeeds. So none changes a value, an adjustment, a time or a PID, and none wakes a process. The kernel holds the set's
// lock during a call, so no process sees the operations (perform_atomic_semop_slow in the kernel's ipc/semaphore.c). One thing
// changes: a process that has made such a call counts as a user of the set when it ends, so the kernel then sets sem_otime.

const (
	valueMost    = image.MostSemaphoreValue
	opsPerSearch = 7 // of anyUndo, for one semaphore

	opsMost = abi.DataMax / int(unsafe.Sizeof(sysv.Operation{})) // in one message
)

func change(n int, by int) sysv.Operation {
	return sysv.Operation{Number: uint16(n), Change: int16(by), Flags: unix.IPC_NOWAIT}
}

func withUndo(n int, by int) sysv.Operation {
	return sysv.Operation{Number: uint16(n), Change: int16(by), Flags: unix.IPC_NOWAIT | sysv.Undo}
}

// never is an operation that no value allows.
func never(n int) sysv.Operation { return change(n, math.MinInt16) }

// nonZero drops operations that change nothing: to the kernel they mean a wait for 0.
func nonZero(ops []sysv.Operation) []sysv.Operation {
	return slices.DeleteFunc(ops, func(o sysv.Operation) bool { return o.Change == 0 })
}

// anyUndo are the operations that end with ERANGE if the adjustment of semaphore n is not 0. Otherwise the next ones are tried.
func anyUndo(n int, value uint16) []sysv.Operation {
	return nonZero([]sysv.Operation{
		change(n, valueMost-int(value)),
		withUndo(n, -valueMost), // ERANGE if it is more than 0
		withUndo(n, valueMost),
		change(n, -valueMost),
		withUndo(n, 1),
		change(n, -1),
		withUndo(n, valueMost), // ERANGE if it is less than 0
	})
}

// undoFrom are operations that end with ERANGE or with EAGAIN. positive tells which: if ERANGE means that the adjustment is at
// least t, or that it is less.
func undoFrom(n int, value uint16, t int) (ops []sysv.Operation, positive bool) {
	if t > 0 {
		return nonZero([]sysv.Operation{change(n, valueMost-int(value)), withUndo(n, t-1-valueMost), never(n)}), true
	}
	return nonZero([]sysv.Operation{change(n, -int(value)), withUndo(n, 1), change(n, -1), withUndo(n, valueMost+t), never(n)}), false
}

// A search is for the adjustment that a process has for a semaphore. It is at least low and at most high.
type search struct {
	set       *semaphoreSet
	semaphore int
	low, high int
}

// undo records the adjustments of all members.
func (c *sysvCapture) undo(sets []*semaphoreSet) error {
	if len(sets) == 0 {
		return nil
	}
	most := min(int(c.members[0].sets.Operations), opsMost)
	if most < opsPerSearch+1 {
		return fmt.Errorf("kernel.sem allows %d operations in one semop(2); CRAK needs %d", most, opsPerSearch+1)
	}
	found := make([][]*search, len(c.members))
	err := inParallel(len(c.members), func(i int) (err error) {
		if found[i], err = c.members[i].undo(sets, (most-1)/opsPerSearch); err != nil {
			return c.members[i].fail(fmt.Errorf("semaphores: %w", err))
		}
		return nil
	})
	c.refuseSharedUndo(found)
	for i, m := range c.members {
		for _, s := range found[i] {
			if s.low != 0 {
				s.set.Undo = append(s.set.Undo, image.Undo{Pid: m.process.Pid, Semaphore: s.semaphore, Value: s.low})
			}
		}
	}
	return err
}

// undo finds the adjustments of a member. atOnce is how many semaphores one call can look at.
func (m *Member) undo(sets []*semaphoreSet, atOnce int) ([]*search, error) {
	var ask resident.Questions
	var all []*search
	for _, set := range sets {
		for first := 0; first < len(set.Values); first += atOnce {
			last := min(first+atOnce, len(set.Values))
			var ops []sysv.Operation
			for n := first; n < last; n++ {
				ops = append(ops, anyUndo(n, set.Values[n])...)
			}
			askOps(&ask, set, append(ops, never(first)), func(errno unix.Errno) {
				if errno != unix.ERANGE {
					return // also if the member may not change the set
				}
				for n := first; n < last; n++ {
					all = append(all, &search{set, n, math.MinInt16, math.MaxInt16})
				}
			})
		}
	}
	if err := ask.Put(m.Conn.Calls); err != nil {
		return nil, err
	}
	for range 16 { // halves of 65536 values
		for _, s := range all {
			if s.low == s.high {
				continue
			}
			t := s.low + (s.high-s.low+1)/2
			ops, positive := undoFrom(s.semaphore, s.set.Values[s.semaphore], t)
			askOps(&ask, s.set, ops, func(errno unix.Errno) {
				if (errno == unix.ERANGE) == positive {
					s.low = t
				} else {
					s.high = t - 1
				}
			})
		}
		if err := ask.Put(m.Conn.Calls); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// askOps adds a call of semop.
func askOps(ask *resident.Questions, set *semaphoreSet, ops []sysv.Operation, got func(unix.Errno)) {
	data, _ := binary.Append(nil, binary.NativeEndian, ops)
	call := abi.Call{Number: unix.SYS_SEMOP, Relative: abi.Data(1), Args: [6]uint64{uint64(set.SysV.ID), 0, uint64(len(ops))}}
	ask.Ask(call, data, func(result int64, _ []byte) { got(unix.Errno(max(-result, 0))) })
}

package dump

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/sysv"
)

const setMost = abi.DataMax / 2 // semaphores of a set: GETALL returns two bytes for each

// A semaphoreSet is a set of the IPC namespace.
type semaphoreSet struct {
	image.SemaphoreSet
	desc   sysv.SetDesc
	failed unix.Errno // of GETALL
	users  []lastUse
}

// semaphores records the semaphore sets.
func (c *sysvCapture) semaphores() error {
	all, err := c.allSets()
	if err != nil || len(all) == 0 {
		return err
	}
	if err := c.readSets(all); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s *semaphoreSet) bool {
		return !c.belongs(&s.desc.Perm, s.users, max(s.desc.Otime, s.desc.Ctime))
	})
	all = slices.DeleteFunc(all, func(s *semaphoreSet) bool {
		if s.Values == nil {
			c.refuse(fmt.Sprintf("System V semaphore set %d", s.SysV.ID), whyNotRead(s), "remove it (ipcrm -s) if the program does not need it")
		}
		return s.Values == nil
	})
	if err := inOrder(func() error { return c.undo(all) }, func() error { return c.checkValues(all) }); err != nil {
		return err
	}
	for _, s := range all {
		c.found.Semaphores = append(c.found.Semaphores, s.SemaphoreSet)
	}
	return nil
}

func whyNotRead(s *semaphoreSet) string {
	if s.desc.Nsems > setMost {
		return fmt.Sprintf("has %d semaphores; CRAK supports %d", s.desc.Nsems, setMost)
	}
	return fmt.Sprintf("cannot be read: semctl(GETALL): %v", s.failed)
}

// allSets lists the sets of the IPC namespace.
func (c *sysvCapture) allSets() (all []*semaphoreSet, err error) {
	root := c.members[0]
	call := abi.Call{Number: unix.SYS_SEMCTL, Relative: abi.Data(3), Args: [6]uint64{0, 0, sysv.SemStatAny}}
	err = listSysV(c, call, root.sets.Sets, root.lastSet, func(id int64, desc *sysv.SetDesc) {
		all = append(all, &semaphoreSet{SemaphoreSet: image.SemaphoreSet{SysV: sysvOf(id, &desc.Perm)}, desc: *desc})
	})
	return all, err
}

// readSets reads values, and which processes were the last to change them.
func (c *sysvCapture) readSets(all []*semaphoreSet) error {
	var ask resident.Questions
	for _, s := range all {
		if s.desc.Nsems == 0 || s.desc.Nsems > setMost {
			continue
		}
		askValues(&ask, s, func(values []uint16, failed unix.Errno) { s.Values, s.failed = values, failed })
	}
	if err := c.ask(&ask); err != nil {
		return err
	}
	for _, s := range all {
		for i := range s.Values {
			ask.Value(unix.SYS_SEMCTL, [6]uint64{uint64(s.SysV.ID), uint64(i), sysv.GetPid}, func(pid int64) {
				// semop changes the time of use, SETVAL that of change
				if u := (lastUse{image.Pid(pid), max(s.desc.Otime, s.desc.Ctime)}); pid > 0 && !slices.Contains(s.users, u) {
					s.users = append(s.users, u)
				}
			})
		}
	}
	return c.ask(&ask)
}

func askValues(ask *resident.Questions, s *semaphoreSet, got func([]uint16, unix.Errno)) {
	call := abi.Call{Number: unix.SYS_SEMCTL, Relative: abi.Data(3), Args: [6]uint64{uint64(s.SysV.ID), 0, sysv.GetAll, 0}}
	ask.Ask(call, make([]byte, 2*s.desc.Nsems), func(result int64, data []byte) {
		if result < 0 {
			got(nil, unix.Errno(-result))
			return
		}
		values := make([]uint16, s.desc.Nsems)
		for i := range values {
			values[i] = min(binary.NativeEndian.Uint16(data[2*i:]), image.MostSemaphoreValue)
		}
		got(values, 0)
	})
}

// checkValues refuses sets that another process has changed since they were read: the adjustments of such a set are not known.
func (c *sysvCapture) checkValues(all []*semaphoreSet) error {
	var ask resident.Questions
	for _, s := range all {
		askValues(&ask, s, func(values []uint16, _ unix.Errno) {
			if !slices.Equal(values, s.Values) {
				c.refuse(fmt.Sprintf("System V semaphore set %d", s.SysV.ID), "another process changes it while the program is frozen",
					"end that process, or try again")
			}
		})
	}
	return c.ask(&ask)
}

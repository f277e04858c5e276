package program

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Check finds what would go wrong in every run: a mapping over the interpreter's area, the use of a result before the
// instruction that makes it, a descriptor that is overwritten or closed before it is used, a program that does not end. An
// error names the program and the instruction.
func (s *Set) Check(l Layout) error {
	for n, p := range s.Programs {
		c := checker{set: s, layout: l, defined: make(map[Slot]bool), closed: make(map[uint64]bool)}
		for i := range p.Instructions {
			if err := c.instruction(&p.Instructions[i]); err != nil {
				return fmt.Errorf("program %d (%s) instruction %d: %s: %w", n, p.Name, i, s.Text(&p.Instructions[i]), err)
			}
		}
		if err := ends(p); err != nil {
			return fmt.Errorf("program %d (%s): %w", n, p.Name, err)
		}
	}
	return nil
}

type checker struct {
	set     *Set
	layout  Layout
	defined map[Slot]bool
	closed  map[uint64]bool // descriptors that were overwritten
	over    [][2]uint64     // ranges of descriptors that were closed
}

func (c *checker) instruction(in *Instruction) error {
	for i, a := range in.Args {
		switch {
		case a.Kind == ArgResult && !c.defined[Slot(a.Value)]:
			return fmt.Errorf("argument %d: result %d does not exist yet", i, a.Value)
		case a.Kind == ArgData && a.Value >= uint64(len(c.set.Data)):
			return fmt.Errorf("argument %d: outside the data", i)
		}
	}
	if in.Slot != NoSlot {
		c.defined[in.Slot] = true
	}
	switch in.Op {
	case Call:
		return c.call(in)
	case Thread, Process:
		if k := in.Args[0].Value; k >= uint64(len(c.set.Programs)) {
			return fmt.Errorf("no program %d", k)
		}
	case Arrive, Await:
		if in.Args[0].Kind != ArgData || in.Args[0].Value%4 != 0 {
			return fmt.Errorf("the counter is not in the data")
		}
	case Load:
		if in.Args[0].Kind != ArgData || in.Args[0].Value%8 != 0 {
			return fmt.Errorf("the bytes are not in the data")
		}
	case Jump:
	default:
		return fmt.Errorf("unknown operation %d", in.Op)
	}
	return nil
}

func (c *checker) call(in *Instruction) error {
	switch in.Number {
	case unix.SYS_MMAP:
		if err := c.outside(in.Args[0], in.Args[1]); err != nil {
			return err
		}
		if fd := in.Args[4]; int64(fd.Value) >= 0 {
			return c.descriptor(fd)
		}
	case unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MADVISE:
		return c.outside(in.Args[0], in.Args[1])
	case unix.SYS_MREMAP:
		return c.outside(in.Args[4], in.Args[2])
	case unix.SYS_DUP3:
		if err := c.descriptor(in.Args[0]); err != nil {
			return err
		}
		if in.Args[0] == in.Args[1] {
			return fmt.Errorf("descriptor %d is copied onto itself", in.Args[0].Value)
		}
		c.closed[in.Args[1].Value] = true // the old descriptor of this number is closed: no instruction can use it
	case unix.SYS_CLOSE_RANGE:
		c.over = append(c.over, [2]uint64{in.Args[0].Value, in.Args[1].Value})
	}
	return nil
}

// outside makes sure that a range is not in the interpreter's area. Only in the staging area programs may map.
func (c *checker) outside(start, length Arg) error {
	from := c.layout.Address(start)
	to := from + c.layout.Address(length)
	end := c.layout.Staging
	if start.Kind != ArgStaging {
		end = c.layout.Area + c.layout.Length
	}
	if from < end && c.layout.Area < to {
		return fmt.Errorf("%#x-%#x: is in the interpreter's area, %#x-%#x", from, to, c.layout.Area, c.layout.Area+c.layout.Length)
	}
	return nil
}

func (c *checker) descriptor(fd Arg) error {
	if fd.Kind != ArgConst {
		return nil
	}
	gone := c.closed[fd.Value]
	for _, r := range c.over {
		gone = gone || r[0] <= fd.Value && fd.Value <= r[1]
	}
	if gone {
		return fmt.Errorf("descriptor %d was overwritten or closed", fd.Value)
	}
	return nil
}

// ends makes sure that the last instruction leaves the program.
func ends(p *Program) error {
	if n := len(p.Instructions); n > 0 {
		in := p.Instructions[n-1]
		if in.Op == Jump || in.Op == Call && (in.Number == unix.SYS_EXIT || in.Number == unix.SYS_EXIT_GROUP) {
			return nil
		}
	}
	return fmt.Errorf("does not end with a jump or an exit")
}

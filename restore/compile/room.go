package compile

import (
	"errors"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/program"
)

// firstArea is where the search for room begins: above the heaps of programs that are linked at fixed addresses, and below
// all mappings whose address the kernel chooses.
const firstArea = 0x10_0000_0000

// Room finds an address at which the interpreter's area can be: room that is free in the interpreter, which has the given
// mappings, and in all processes of a group.
func Room(length uint64, interpreter []proc.Mapping, g *image.Group) (uint64, error) {
	area := uint64(firstArea)
	taken := func() (end uint64) {
		for _, m := range interpreter {
			if m.Start < area+length && area < m.End {
				return m.End
			}
		}
		for i := range g.Processes {
			for _, m := range g.Processes[i].Mappings {
				if uint64(m.Start) < area+length && area < uint64(m.End) {
					return uint64(m.End)
				}
			}
		}
		return 0
	}
	for area+length < program.UserEnd {
		end := taken()
		if end == 0 {
			return area, nil
		}
		area = end
	}
	return 0, errors.New("interpreter: no room in the address space")
}

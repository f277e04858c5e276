package program

import (
	"fmt"
	"io"
	"strings"

	"crak.dev/crak/internal/printable"
)

// outline writes which program makes which processes, if there is more than one process.
//
//	who makes whom
//	  interpreter
//	    pid 412 (bash)
//	      pid 413 (make), 3 threads
func (s *Set) outline(w io.Writer) {
	processes := 0
	top := make(map[int]bool)
	for i, p := range s.Programs {
		top[i] = true
		for j := range p.Instructions {
			if p.Instructions[j].Op == Process {
				processes++
			}
		}
	}
	if processes < 2 {
		return
	}
	for _, p := range s.Programs {
		for j := range p.Instructions {
			if op := p.Instructions[j].Op; op == Process || op == Thread {
				delete(top, int(p.Instructions[j].Args[0].Value))
			}
		}
	}
	fmt.Fprintln(w, "who makes whom")
	for i := range s.Programs {
		if top[i] {
			s.outlineOf(w, i, "", 1, make(map[int]bool))
		}
	}
	fmt.Fprintln(w)
}

// outlineOf writes a program, and the processes that it makes. seen keeps a malformed set from an endless recursion.
func (s *Set) outlineOf(w io.Writer, program int, note string, depth int, seen map[int]bool) {
	if program >= len(s.Programs) || seen[program] {
		return
	}
	seen[program] = true
	p := s.Programs[program]
	threads := 1
	for i := range p.Instructions {
		if p.Instructions[i].Op == Thread {
			threads++
		}
	}
	line := strings.Repeat("  ", depth) + p.Name
	if note != "" {
		line += " (" + printable.Text(note) + ")"
	}
	if threads > 1 {
		line += fmt.Sprintf(", %d threads", threads)
	}
	fmt.Fprintln(w, line)
	for i := range p.Instructions {
		if in := &p.Instructions[i]; in.Op == Process {
			s.outlineOf(w, int(in.Args[0].Value), in.Note, depth+1, seen)
		}
	}
}

// alike counts the instructions from the first one that differ from it in the first argument alone.
func alike(all []Instruction) int {
	first := all[0]
	n := 1
	for n < len(all) {
		in := all[n]
		in.Args[0] = first.Args[0]
		if first.Op != Call || first.Slot != NoSlot || all[n].Args[0].Kind != ArgConst || in != first {
			break
		}
		n++
	}
	return n
}

// ranges writes the first arguments of instructions: "2-8, 10-16".
func ranges(all []Instruction) string {
	var parts []string
	for i := 0; i < len(all); {
		from := all[i].Args[0].Value
		to := from
		for i++; i < len(all) && all[i].Args[0].Value == to+1; i++ {
			to++
		}
		if from == to {
			parts = append(parts, number(from))
		} else {
			parts = append(parts, number(from)+"-"+number(to))
		}
	}
	return strings.Join(parts, ", ")
}

package program

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"crak.dev/crak/internal/printable"
	"crak.dev/crak/internal/sysname"
)

// Print writes the programs as text, for people.
func (s *Set) Print(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "all processes report on %d\n\n", s.Control)
	s.outline(b)
	for i, p := range s.Programs {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "program %d: %s\n", i, p.Name)
		for n := 0; n < len(p.Instructions); n++ {
			in := &p.Instructions[n]
			fmt.Fprintf(b, "%5d  %s", n, s.Text(in))
			if in.Op == Call && in.Expect == ExpectNotice {
				b.WriteString(" may fail")
			}
			if in.Note != "" {
				fmt.Fprintf(b, "  # %s", printable.Text(in.Note))
			}
			b.WriteByte('\n')
			if same := alike(p.Instructions[n:]); same > 2 {
				fmt.Fprintf(b, "    …  and the same for %s\n", ranges(p.Instructions[n+1:n+same]))
				n += same - 1
			}
		}
	}
	return b.Flush()
}

// Text is an instruction without its note, and without saying whether it may fail: "dup3(12, 3, O_CLOEXEC) = 0x3".
func (s *Set) Text(in *Instruction) string {
	var b strings.Builder
	if in.Slot != NoSlot {
		fmt.Fprintf(&b, "r%d := ", in.Slot)
	}
	name, count, show := s.form(in)
	b.WriteString(name + "(")
	for i := range count {
		if i > 0 {
			b.WriteString(", ")
		}
		if i < len(show) && show[i] != nil && in.Args[i].Kind == ArgConst {
			b.WriteString(show[i](in.Args[i].Value))
		} else {
			b.WriteString(s.arg(in.Args[i]))
		}
	}
	b.WriteByte(')')
	switch {
	case in.Op != Call: // threads and processes have their number among the arguments
	case in.Expect == ExpectValue:
		b.WriteString(" = " + number(uint64(in.Want)))
	case in.Expect == ExpectAny:
		b.WriteString(" = any")
	}
	return b.String()
}

// form says how an instruction is written: its name, how many arguments, and how to show each.
func (s *Set) form(in *Instruction) (name string, count int, show []shower) {
	switch in.Op {
	case Thread:
		return "thread", 5, []shower{number, number, cloneFlags}
	case Process:
		return "process", 4, []shower{number, number, cloneFlags, signalName}
	case Arrive:
		return "arrive", 2, nil
	case Await:
		if in.Args[2].Value != 0 {
			return "await", 3, nil
		}
		return "await", 2, nil
	case Jump:
		return "jump", 2, nil
	case Load:
		return "load", 1, nil
	}
	name = sysname.Of(int64(in.Number))
	if f, ok := forms[in.Number]; ok {
		return name, len(f), f
	}
	count = len(in.Args)
	for count > 0 && in.Args[count-1] == (Arg{}) {
		count--
	}
	return name, count, nil
}

func (s *Set) arg(a Arg) string {
	switch a.Kind {
	case ArgData:
		return s.datum(a.Value)
	case ArgResult:
		return fmt.Sprintf("r%d", a.Value)
	case ArgArea:
		return "area" + plus(a.Value)
	case ArgEnd:
		return "area.end" + plus(a.Value)
	case ArgLength:
		return "area.length"
	case ArgBeyond:
		return fmt.Sprintf("%#x-area.end", a.Value)
	case ArgStaging:
		return "staging" + plus(a.Value)
	}
	return number(a.Value)
}

// datum shows data that is a string as one.
func (s *Set) datum(at uint64) string {
	if s.texts[at] {
		text, _, _ := bytes.Cut(s.Data[at:], []byte{0})
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("data+%#x", at)
}

func plus(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("+%#x", n)
}

// number writes small numbers in decimal, and others in hexadecimal.
func number(v uint64) string {
	if n := int64(v); n < 0 && n > -4096 {
		return fmt.Sprint(n)
	}
	if v < 100000 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}

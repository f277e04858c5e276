package program

import (
	"encoding/binary"
	"slices"
)

// A Builder appends to one program of a set.
type Builder struct {
	Set     *Set
	Program *Program
	Number  int
}

// MostInstructions is the limit for a Set. An image from anybody could ask for any number. So many take 114 MiB, and twice
// that while the slice of a program grows.
const MostInstructions = 3 << 18

// Build starts a new program in the set.
func (s *Set) Build(name string) *Builder {
	p := &Program{Name: name}
	return &Builder{Set: s, Program: p, Number: s.Add(p)}
}

// Bytes puts v into the data, aligned to 8, and returns its address. Programs only read it: equal data is stored once.
func (s *Set) Bytes(v []byte) Arg {
	if a, ok := s.known[string(v)]; ok {
		return a
	}
	a := s.Variable(v)
	if s.known == nil {
		s.known = make(map[string]Arg)
	}
	s.known[string(v)] = a
	return a
}

// Variable puts v into the data at an address of its own, to which programs may write.
func (s *Set) Variable(v []byte) Arg {
	for len(s.Data)%8 != 0 {
		s.Data = append(s.Data, 0)
	}
	at := len(s.Data)
	s.Data = append(s.Data, v...)
	return Arg{Kind: ArgData, Value: uint64(at)}
}

// Point makes the eight bytes at an address hold another address. Preconditions: at is in a Variable.
func (s *Set) Point(at, to Arg) {
	s.Pointers = append(s.Pointers, Pointer{at.Value, to})
}

// String puts a C string into the data.
func (s *Set) String(v string) Arg {
	a := s.Bytes(append([]byte(v), 0))
	if s.texts == nil {
		s.texts = make(map[uint64]bool)
	}
	s.texts[a.Value] = true
	return a
}

// Struct puts v, a fixed-size value as encoding/binary knows it, into the data.
func (s *Set) Struct(v any) Arg { return s.Bytes(Raw(v)) }

// Raw is a fixed-size value in the processor's byte order.
func Raw(v any) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		panic("program: " + err.Error()) // not a fixed-size value: a bug
	}
	return b
}

// At is the address n bytes after a.
func (a Arg) At(n uint64) Arg { return Arg{Kind: a.Kind, Value: a.Value + n} }

// Do appends an instruction.
func (b *Builder) Do(in Instruction) *Builder {
	if b.Set.instructions >= MostInstructions {
		b.Set.Full = true
		if len(b.Program.Instructions) > 0 {
			*b.last() = in // so that the calls that follow Do change no other instruction
			return b
		}
	}
	b.Set.instructions++
	b.Program.Instructions = append(b.Program.Instructions, in)
	return b
}

// Call appends a system call. An error is a failure, if no other expectation is set.
func (b *Builder) Call(number int, args ...Arg) *Builder {
	in := Instruction{Op: Call, Number: number, Slot: NoSlot}
	copy(in.Args[:], args)
	return b.Do(in)
}

func (b *Builder) last() *Instruction {
	return &b.Program.Instructions[len(b.Program.Instructions)-1]
}

// Note says what the last instruction is for.
func (b *Builder) Note(note string) *Builder {
	b.last().Note = note
	return b
}

// Want makes every result of the last instruction but v a failure.
func (b *Builder) Want(v uint64) *Builder {
	b.last().Expect, b.last().Want = ExpectValue, int64(v)
	return b
}

// Any ignores the result of the last instruction.
func (b *Builder) Any() *Builder {
	b.last().Expect = ExpectAny
	return b
}

// MayFail reports an error of the last instruction as a notice: the program goes on.
func (b *Builder) MayFail() *Builder {
	b.last().Expect = ExpectNotice
	return b
}

// Keep stores the result of the last instruction in a slot.
func (b *Builder) Keep() Slot {
	if b.last().Slot == NoSlot {
		b.last().Slot = Slot(b.Set.Slots)
		b.Set.Slots++
	}
	return b.last().Slot
}

// Thread makes a thread that runs program k.
func (b *Builder) Thread(k, tid int, flags, tls, tidAddress uint64) *Builder {
	b.Set.Stacks++
	return b.Do(Instruction{Op: Thread, Slot: NoSlot, Expect: ExpectValue, Want: int64(tid),
		Args: [6]Arg{Const(k), Const(tid), Const(flags), Const(tls), Const(tidAddress), Const(b.Set.Stacks)}})
}

// Process makes a process that runs program k. With a pid of 0 the kernel chooses. With CLONE_PARENT the exit signal is 0: the
// process gets its maker's.
func (b *Builder) Process(k, pid int, flags uint64, exitSignal int) *Builder {
	in := Instruction{Op: Process, Slot: NoSlot, Args: [6]Arg{Const(k), Const(pid), Const(flags), Const(exitSignal)}}
	if pid != 0 {
		in.Expect, in.Want = ExpectValue, int64(pid)
	}
	return b.Do(in)
}

// Arrive adds one to the counter, and wakes those who await the total.
func (b *Builder) Arrive(counter Arg, total int) *Builder {
	return b.Do(Instruction{Op: Arrive, Slot: NoSlot, Args: [6]Arg{counter, Const(total)}})
}

// Await waits until the counter equals the total.
func (b *Builder) Await(counter Arg, total int) *Builder {
	return b.Do(Instruction{Op: Await, Slot: NoSlot, Args: [6]Arg{counter, Const(total)}})
}

// AwaitSome is Await for at most n times 100 ms. Then the program goes on.
func (b *Builder) AwaitSome(counter Arg, total, n int) *Builder {
	return b.Do(Instruction{Op: Await, Slot: NoSlot, Expect: ExpectAny, Args: [6]Arg{counter, Const(total), Const(n)}})
}

// Load has the eight bytes at an address as its result.
func (b *Builder) Load(at Arg) *Builder {
	return b.Do(Instruction{Op: Load, Slot: NoSlot, Expect: ExpectAny, Args: [6]Arg{at}})
}

// Jump leaves the interpreter for the code at the struct abi_context. It is the last instruction of a program, so it also
// frees the unused end of the slice: there may be thousands of threads.
func (b *Builder) Jump(context uint64, restart Arg) {
	b.Do(Instruction{Op: Jump, Slot: NoSlot, Args: [6]Arg{Const(context), restart}})
	b.Program.Instructions = slices.Clip(slices.Clone(b.Program.Instructions))
}

package program

import (
	"encoding/binary"
	"unsafe"
)

const (
	pageSize = 4096
	// MainStack and ThreadStack are the sizes of the interpreter's stacks, in bytes.
	MainStack   = 16 << 10
	ThreadStack = 1 << 10
)

// A Layout has the addresses of all parts of the interpreter's area; see interp.h.
type Layout struct {
	Area    uint64
	Load    uint64
	Data    uint64 // data and results are shared by all processes and crak
	Results uint64
	Stacks  uint64 // thread stacks, then the main stack
	Stack   uint64 // top of the main stack
	Staging uint64
	Length  uint64
}

func up(n, to uint64) uint64 { return (n + to - 1) / to * to }

// Measure returns the layout of an area at address 0 whose code has the given size in bytes.
func (s *Set) Measure(code uint64) Layout {
	var l Layout
	l.Load = up(code, pageSize)
	instructions := 0
	for _, p := range s.Programs {
		instructions += len(p.Instructions)
	}
	l.Data = up(l.Load+loadSize+programSize*uint64(len(s.Programs))+instructionSize*uint64(instructions), pageSize)
	l.Results = up(l.Data+uint64(len(s.Data)), 8)
	l.Stacks = up(l.Results+8*uint64(s.Slots)+1, pageSize) // never empty
	l.Stack = up(l.Stacks+ThreadStack*uint64(s.Stacks)+MainStack, pageSize)
	l.Staging = l.Stack
	l.Length = l.Staging + up(s.Staging, pageSize)
	return l
}

// Move returns the layout of the area at another address.
func (l Layout) Move(area uint64) Layout {
	l.Area += area
	l.Load += area
	l.Data += area
	l.Results += area
	l.Stacks += area
	l.Stack += area
	l.Staging += area
	return l
}

// FileLength is the length of the file that has the load, the data and the results.
func (l Layout) FileLength() uint64 { return l.Stacks - l.Load }

// Order returns the order to run a load, which is in a file of the interpreter.
func (l Layout) Order(file int32) Order {
	return Order{Area: l.Area, AreaLength: l.Length, Load: l.Load, LoadLength: l.Data - l.Load,
		Shared: l.Data, SharedEnd: l.Stacks, File: file}
}

// Encode returns the load and the data: the content of the file.
func (s *Set) Encode(l Layout) []byte {
	out := make([]byte, 0, l.Results-l.Load)
	programs := l.Load + loadSize
	out = appendStruct(out, wireLoad{Magic: wireMagic, Version: wireVersion,
		Programs: programs, Results: l.Results, Stack: l.Stack, Decision: l.Address(s.Decision), Control: int32(s.Control)})
	next := programs + programSize*uint64(len(s.Programs))
	for _, p := range s.Programs {
		out = appendStruct(out, wireProgram{Instructions: next, Count: uint32(len(p.Instructions)),
			StoppedCount: uint32(p.StoppedCount), Stopped: l.Address(p.Stopped)})
		next += instructionSize * uint64(len(p.Instructions))
	}
	for _, p := range s.Programs {
		for i := range p.Instructions {
			out = appendStruct(out, p.Instructions[i].wire(l))
		}
	}
	out = append(out, make([]byte, l.Data-l.Load-uint64(len(out)))...)
	data := len(out)
	out = append(out, s.Data...)
	for _, p := range s.Pointers {
		binary.NativeEndian.PutUint64(out[data+int(p.At):], l.Address(p.To))
	}
	return out
}

// Address is the value of an argument in this layout. Preconditions: it is not a result.
func (l Layout) Address(a Arg) uint64 {
	switch a.Kind {
	case ArgData:
		return l.Data + a.Value
	case ArgArea:
		return l.Area + a.Value
	case ArgEnd:
		return l.Area + l.Length + a.Value
	case ArgLength:
		return l.Length
	case ArgBeyond:
		return a.Value - (l.Area + l.Length)
	case ArgStaging:
		return l.Staging + a.Value
	}
	return a.Value
}

func (in *Instruction) wire(l Layout) wireInstruction {
	w := wireInstruction{Number: uint32(in.Number), Op: uint16(in.Op), Expect: uint16(in.Expect),
		Slot: int32(in.Slot), Want: in.Want}
	for i, a := range in.Args {
		w.Args[i] = l.Address(a)
		if a.Kind == ArgResult {
			w.From |= 1 << i
		}
	}
	if in.Op == Thread {
		w.Args[5] = l.Stacks + ThreadStack*in.Args[5].Value
	}
	return w
}

func appendStruct[T wireLoad | wireProgram | wireInstruction](out []byte, v T) []byte {
	return append(out, unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v))...)
}

// DecodeReport reads a message from the control socket.
func DecodeReport(b []byte) (Report, bool) {
	if len(b) != ReportSize {
		return Report{}, false
	}
	n := binary.NativeEndian
	return Report{Kind: ReportKind(n.Uint32(b)), Tid: int32(n.Uint32(b[4:])), Program: n.Uint32(b[8:]),
		Instruction: n.Uint32(b[12:]), Result: int64(n.Uint64(b[16:]))}, true
}

// Bytes is the message as it is sent.
func (o Order) Bytes() []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&o)), OrderSize)...)
}

// Bytes is the message as it is sent.
func (r Report) Bytes() []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&r)), ReportSize)...)
}

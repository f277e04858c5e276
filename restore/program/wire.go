package program

import (
	"structs"
	"unsafe"
)

// The values of interp/src/interp.h. TestHeader compares the two files by name.
const (
	wireMagic   = 0x50455243
	wireVersion = 4
)

// A ReportKind says what a Report is about.
type ReportKind uint32

const (
	Failed ReportKind = 1 // the process has ended
	Notice ReportKind = 2 // an unexpected result; the program goes on
	Stage  ReportKind = 3 // sent by the program itself; Result is the stage
)

// Boot steps: Report.Instruction where Report.Program is BootProgram.
const (
	BootProgram = 0xffffffff
	BootOrder   = 0
	BootMap     = 1
	BootRead    = 2
	BootProtect = 3
	BootLoad    = 4
)

// Order is struct interp_order: the first message to the interpreter.
type Order struct {
	_          structs.HostLayout
	Area       uint64
	AreaLength uint64
	Load       uint64
	LoadLength uint64
	Shared     uint64
	SharedEnd  uint64
	File       int32
	_          int32
}

// Report is struct interp_report: a message from a program.
type Report struct {
	_           structs.HostLayout
	Kind        ReportKind
	Tid         int32
	Program     uint32
	Instruction uint32
	Result      int64
}

type wireLoad struct {
	_        structs.HostLayout
	Magic    uint32
	Version  uint32
	Programs uint64
	Results  uint64
	Stack    uint64
	Decision uint64
	Control  int32
	_        int32
}

type wireProgram struct {
	_            structs.HostLayout
	Instructions uint64
	Count        uint32
	StoppedCount uint32
	Stopped      uint64
}

type wireInstruction struct {
	_      structs.HostLayout
	Number uint32
	Op     uint16
	Expect uint16
	From   uint32
	Slot   int32
	Want   int64
	Args   [6]uint64
}

// Sizes that interp.h states, too. The program does not compile if they differ.
const (
	OrderSize       = 56
	ReportSize      = 24
	loadSize        = 48
	programSize     = 24
	instructionSize = 72
)

var (
	_ [OrderSize]byte       = [unsafe.Sizeof(Order{})]byte{}
	_ [ReportSize]byte      = [unsafe.Sizeof(Report{})]byte{}
	_ [loadSize]byte        = [unsafe.Sizeof(wireLoad{})]byte{}
	_ [programSize]byte     = [unsafe.Sizeof(wireProgram{})]byte{}
	_ [instructionSize]byte = [unsafe.Sizeof(wireInstruction{})]byte{}
)

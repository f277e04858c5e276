package program

// An Op is what an Instruction does.
type Op uint16

const (
	Call    Op = 0 // system call Number
	Thread  Op = 1 // make a thread: program, tid, clone flags, TLS, tid address, (stack)
	Process Op = 2 // make a process: program, pid, clone flags, exit signal
	Arrive  Op = 3 // add one to a counter, and wake those who await the total: address, total
	Await   Op = 4 // wait until a counter equals the total: address, total, limit in 100 ms or 0
	Jump    Op = 5 // leave the interpreter: struct abi_context, struct abi_restart
	Load    Op = 6 // the result is the eight bytes at an address
)

// An Expect is what an instruction's result must be.
type Expect uint16

const (
	ExpectOK     Expect = 0 // no error
	ExpectValue  Expect = 1 // Want
	ExpectAny    Expect = 2
	ExpectNotice Expect = 3 // an error is reported as a notice
)

// ArgKind says what an argument is.
type ArgKind uint8

const (
	ArgConst   ArgKind = iota // Value itself
	ArgData                   // address of the data at offset Value
	ArgResult                 // the result in slot Value
	ArgArea                   // address of the interpreter's area, plus Value
	ArgEnd                    // address after the area, plus Value
	ArgLength                 // length of the area
	ArgBeyond                 // Value minus the address after the area: a length
	ArgStaging                // address of the staging area, plus Value
)

// Arg is one argument of an instruction.
type Arg struct {
	Kind  ArgKind
	Value uint64
}

// Const is a constant argument.
func Const[T ~int | ~int32 | ~int64 | ~uint32 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{Kind: ArgConst, Value: uint64(v)}
}

// UserEnd is the end of the address space that programs can use: TASK_SIZE with four levels of page tables.
const UserEnd = 1<<47 - pageSize

// Addresses in the interpreter's area. The area is chosen after the programs are built.
var (
	Area       = Arg{Kind: ArgArea}
	AreaEnd    = Arg{Kind: ArgEnd}
	AreaLength = Arg{Kind: ArgLength}
	Staging    = Arg{Kind: ArgStaging}
)

// Beyond is the distance from the end of the area to an address.
func Beyond(address uint64) Arg { return Arg{Kind: ArgBeyond, Value: address} }

// A Slot holds the result of one instruction.
type Slot int

// Arg is the result as an argument of a later instruction.
func (s Slot) Arg() Arg { return Arg{Kind: ArgResult, Value: uint64(s)} }

// NoSlot says that the result is not stored.
const NoSlot Slot = -1

// An Instruction is one step of a program.
type Instruction struct {
	Op     Op
	Number int // of the system call
	Args   [6]Arg
	Expect Expect
	Want   int64
	Slot   Slot
	Note   string // for people: what the instruction is for
}

// A Program is what one process or thread runs.
type Program struct {
	Name         string // "pid 412", "tid 413"
	Instructions []Instruction
	Stopped      Arg // address of the PIDs, int32, of children that are stopped when the process is ready
	StoppedCount int
}

// A Set is the programs of one restart, and their data.
type Set struct {
	Control  int // descriptor of the socket on which all processes report
	Programs []*Program
	Data     []byte
	Pointers []Pointer
	Slots    int    // results in all programs
	Stacks   int    // threads
	Staging  uint64 // bytes of the staging area
	Decision Arg    // counter: StoppedGo or AllGo. If crak ends while it is 0, all processes that await something end
	Full     bool   // MostInstructions was reached: the programs are incomplete

	known map[string]Arg  // data that programs only read, by its content
	texts map[uint64]bool // data that is a C string

	instructions int // of all programs
}

// Values of Set.Decision. From the first on, the whole group goes, also if crak ends.
const (
	StoppedGo = 1 // the processes that were stopped go
	AllGo     = 2 // all go
)

// A Pointer has Encode write the address To into the data at offset At.
type Pointer struct {
	At uint64
	To Arg
}

// Add appends an empty program and returns its number.
func (s *Set) Add(p *Program) int {
	s.Programs = append(s.Programs, p)
	return len(s.Programs) - 1
}

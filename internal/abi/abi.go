package abi

import (
	"structs"
	"unsafe"
)

// The constants of abi.h, which documents them. TestHeader compares the two files name by name.
const (
	Version      = 4
	Magic        = 0x4b415243
	FreezeSignal = 33
	ExitSignal   = 255

	OrderQuery  = 0x43524600
	OrderFreeze = 0x43524601
	OrderPark   = 0x43524602
	OrderReap   = 0x43524603

	OrderBlocked   = 8
	OrderIP        = 9
	OrderArguments = 10
	OrderMembers   = 3

	Sum = 0x100000001b3

	NoteName      = "CRAK"
	NoteType      = 1
	NoteAdmission = 2

	SocketPrefix = "crak."

	CPUThreadsMax = 4096
	SecretSize    = 16 // bytes

	CallsMax = 512
	DataMax  = 32768
)

// MessageType says what follows a Message.
type MessageType uint32

const (
	Hello    MessageType = 1
	Frozen   MessageType = 2
	Failed   MessageType = 3
	Calls    MessageType = 4
	Results  MessageType = 5
	Snapshot MessageType = 6
	Resume   MessageType = 7

	Challenge MessageType = 8
	Proof     MessageType = 9
	Progress  MessageType = 10
)

// FailureCode says why a resident gave up a freeze.
type FailureCode int32

const (
	FailedPark   FailureCode = 1
	FailedTasks  FailureCode = 2
	FailedSignal FailureCode = 3
	FailedMemory FailureCode = 4
)

const (
	ThreadInitiator = 1 // carried out the freeze; it need not be the thread group leader
	ThreadDead      = 2 // a thread group leader that has exited; only Tid is valid
	ThreadRseq      = 4 // has an rseq area that is not glibc's; only a tracer can find out its address
)

// Message is struct abi_message.
type Message struct {
	_      structs.HostLayout
	Type   MessageType
	Count  uint32
	Length uint64
}

// ChallengeBody is struct abi_challenge.
type ChallengeBody struct {
	_       structs.HostLayout
	Magic   uint32
	Version uint32
	Secret  uint64
}

// HelloBody is struct abi_hello.
type HelloBody struct {
	_        structs.HostLayout
	Magic    uint32
	Version  uint32
	Pid      int32
	Tid      int32
	Dumpable int32
	Holds    int32
	Socket   int32
	Trigger  int32
	Restarts uint64
	Limit    int32
	_        int32

	CPU          uint64
	CPUThreads   uint64
	CPUClock     uint64
	Used         CPUTime
	ChildrenUsed CPUTime
}

// CPUTime is struct abi_cpu_time.
type CPUTime struct {
	_        structs.HostLayout
	TotalNs  int64
	UserUs   int64
	SystemUs int64
}

// CPU is struct abi_cpu.
type CPU struct {
	_        structs.HostLayout
	Process  CPUTime
	Children CPUTime
	Threads  uint64
}

// CPUThread is struct abi_cpu_thread.
type CPUThread struct {
	_    structs.HostLayout
	Tid  int32
	_    int32
	Used CPUTime
}

// Failure is struct abi_failure.
type Failure struct {
	_      structs.HostLayout
	Code   FailureCode
	Tid    int32
	Detail int32
	Line   int32
}

// Thread is struct abi_thread: a parked thread.
type Thread struct {
	_             structs.HostLayout
	Tid           int32
	Flags         uint32
	Context       uint64
	Frame         uint64
	FsBase        uint64
	GsBase        uint64
	TidAddress    uint64
	RobustList    uint64
	RobustLength  uint64
	Rseq          uint64
	RseqLength    uint32
	RseqSignature uint32
	Altstack      uint64
	AltstackSize  uint64
	AltstackFlags uint32
	DeathSignal   int32
	TimerSlack    uint64
	Mask          uint64
	IP            uint64
	SP            uint64
	Syscall       int64
	Policy        int32
	_             int32
	Nodes         [4]uint64
	CPU           CPUTime
}

// CallAddress is ABI_CALL_ADDRESS, in the place of a system call's number: the result is the first argument.
const CallAddress = 0x7fffffff

// CallAIORoom is ABI_CALL_AIO_ROOM. The arguments are the address of the ring of a context of kernel AIO, the events that it has room for,
// the most requests that the context can take, and the number of processors, at most ProcessorsMax. The result is how many it takes.
const CallAIORoom = 0x7ffffffe

// ProcessorsMax is ABI_PROCESSORS_MAX.
const ProcessorsMax = 8192

// Data, Value and Result are bits of Call.Relative for argument i: an offset into the data, the offset of a uint32 in the data that is the
// argument, and the index of an earlier call of the message whose result is the argument.
func Data(i int) uint32   { return 1 << i }
func Value(i int) uint32  { return 1 << (8 + i) }
func Result(i int) uint32 { return 1 << (16 + i) }

// WhileFull and WhileLess are the other bits of Call.Relative. The initiator makes the call again, each millisecond and for at most 10 s,
// while its result is -EAGAIN, or while the int that argument 2 points to is less than arguments 3 and 4.
const (
	WhileFull = 1 << 30
	WhileLess = 1 << 31
)

// Call is struct abi_call: a system call for the initiator to make.
type Call struct {
	_        structs.HostLayout
	Number   uint32
	Relative uint32
	Args     [6]uint64
}

// Context is struct abi_context.
type Context struct {
	_                                      structs.HostLayout
	Rbx, Rbp, R12, R13, R14, R15, Rsp, Rip uint64
}

// Admission is struct abi_admission.
type Admission struct {
	_    structs.HostLayout
	Tid  int32
	_    int32
	Mask uint64
}

// Restart is struct abi_restart.
type Restart struct {
	_          structs.HostLayout
	Area       uint64
	AreaLength uint64
	Control    int32
	Threads    int32
	Initiator  int32
	_          int32
}

// The sizes that abi.h states, too. If they do not match, this file does not compile.
const (
	MessageSize = 16
	HelloSize   = 120
	FailureSize = 16
	ThreadSize  = 208

	ChallengeSize = 16

	CallSize    = 56
	ContextSize = 64
	RestartSize = 32

	CPUTimeSize   = 24
	CPUSize       = 56
	CPUThreadSize = 32

	AdmissionSize = 16
)

var (
	_ [MessageSize]byte   = [unsafe.Sizeof(Message{})]byte{}
	_ [HelloSize]byte     = [unsafe.Sizeof(HelloBody{})]byte{}
	_ [ChallengeSize]byte = [unsafe.Sizeof(ChallengeBody{})]byte{}
	_ [FailureSize]byte   = [unsafe.Sizeof(Failure{})]byte{}
	_ [ThreadSize]byte    = [unsafe.Sizeof(Thread{})]byte{}
	_ [CallSize]byte      = [unsafe.Sizeof(Call{})]byte{}
	_ [ContextSize]byte   = [unsafe.Sizeof(Context{})]byte{}
	_ [CPUTimeSize]byte   = [unsafe.Sizeof(CPUTime{})]byte{}
	_ [CPUSize]byte       = [unsafe.Sizeof(CPU{})]byte{}
	_ [CPUThreadSize]byte = [unsafe.Sizeof(CPUThread{})]byte{}
	_ [AdmissionSize]byte = [unsafe.Sizeof(Admission{})]byte{}
	_ [RestartSize]byte   = [unsafe.Sizeof(Restart{})]byte{}
)

package main

// What crak needs under RLIMIT_AS and RLIMIT_DATA, in bytes. Below these the Go runtime ends with a dump of its stacks and
// status 2, or does so a moment later. Go 1.26 mostly starts from 750,000 KiB of addresses on, of which it reserves 600,000 for its
// tables, and from 78,000 to 84,000 KiB of data on: found by trying ulimit -v and -d. A restart of a small program was tried
// with the limits that stand here. With 800,000 KiB of addresses 2 of 150 starts failed, with 850,000 none.
//
// The runtime does not start with limits from badAddressSpace to goodAddressSpace either: it then reserves a second table of 512
// MiB (runtime/mpagealloc_64bit.go, scavengeIndex.sysInit), and has no room for its heap. With a lower limit it does without this
// table. These numbers were found by trying, too. From 1,175,000 to 1,300,000 KiB no start of 100 succeeded, from 1,310,000 to
// 1,325,000 most did.
const (
	needAddressSpace = 900_000 << 10
	badAddressSpace  = 1_150_000 << 10
	goodAddressSpace = 1_400_000 << 10
	needData         = 100_000 << 10
	needStack        = 128 << 10 // the runtime takes 64 KiB of the first thread's stack for granted
)

// The texts contain the numbers, because crak cannot format anything before the runtime has started.

//lint:ignore U1000 the assembly code has it
var fewAddresses = "crak: less than 900,000 KiB of address space are allowed (RLIMIT_AS): too few to start, most of which take no memory\n" +
	"crak: hint: ulimit -v unlimited, or a control group to limit memory\n"

//lint:ignore U1000 the assembly code has it
var badAddresses = "crak: between 1,150,000 and 1,400,000 KiB of address space are allowed (RLIMIT_AS): the Go runtime starts with less or with more only\n" +
	"crak: hint: ulimit -v 1100000, or a control group to limit memory\n"

//lint:ignore U1000 the assembly code has it
var littleData = "crak: less than 100,000 KiB of data are allowed (RLIMIT_DATA): too few to start\n" +
	"crak: hint: ulimit -d unlimited, or a control group to limit memory\n"

//lint:ignore U1000 the assembly code has it
var littleStack = "crak: less than 128 KiB of stack are allowed (RLIMIT_STACK): too few to start\n" +
	"crak: hint: ulimit -s 8192\n"

// The runtime makes up to needThreads threads while reserveThreads waits for reservedThreads of them: found by trying, also under
// strace. If the limit is manyProcesses or more, neither is done.
const (
	needThreads     = 14
	reservedThreads = 6
	manyProcesses   = 1000
)

// needDescriptors is how many descriptors a checkpoint or a restart of a small program opens at a time, and some more. If none can be
// opened, the runtime ends with a dump of its stacks when it makes its epoll instance.
//
//lint:ignore U1000 the assembly code has it
const needDescriptors = 32

//lint:ignore U1000 the assembly code has it
var fewDescriptors = "crak: too few open files are allowed (RLIMIT_NOFILE): crak needs 32 more than are open now\n" +
	"crak: hint: raise the hard limit with ulimit -n, or close descriptors that crak has inherited\n"

//lint:ignore U1000 the assembly code has it
var rootDirectory = [2]byte{'/', 0}

//lint:ignore U1000 the assembly code has it
var fewProcesses = "crak: too few processes and threads are allowed (RLIMIT_NPROC): crak needs 14 more than the user has now\n" +
	"crak: hint: raise the limit with ulimit -u, or end other processes\n"

// entry is where the kernel starts crak (the linker's -E). If a limit is too low, it prints a message and ends crak. Otherwise it
// jumps to the entry of the Go runtime.
//
//lint:ignore U1000 the linker knows it
func entry()

//lint:ignore U1000 entry calls it
func notWithin()

//lint:ignore U1000 entry calls it
func mayMakeThreads()

//lint:ignore U1000 entry calls it
func mayOpen()

//lint:ignore U1000 mayOpen calls it
func limitDescriptors()

package dump

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// askCPU asks for the CPU time that the kernel has counted. The kernel counts from the last restart of the process.
func (m *Member) askCPU(ask *resident.Questions) {
	c := &m.process.CPU
	const processClock = unix.CLOCK_PROCESS_CPUTIME_ID
	clock := abi.Call{Number: unix.SYS_CLOCK_GETTIME, Relative: abi.Data(1), Args: [6]uint64{processClock}}
	ask.Ask(clock, make([]byte, 16), func(_ int64, data []byte) { c.SinceNs = duration(data, 1e9) })
	usage := func(who int, user, system *int64) {
		const size = 144 // of struct rusage
		call := abi.Call{Number: unix.SYS_GETRUSAGE, Relative: abi.Data(1), Args: [6]uint64{uint64(who)}}
		ask.Ask(call, make([]byte, size), func(_ int64, data []byte) {
			*user, *system = duration(data, 1e6), duration(data[16:], 1e6)
		})
	}
	usage(unix.RUSAGE_SELF, &c.UserUs, &c.SystemUs)
	usage(unix.RUSAGE_CHILDREN, &c.ChildrenUserUs, &c.ChildrenSystemUs)
}

// usedBefore adds the CPU time from before the last restart, which the resident has stored.
func (m *Member) usedBefore() {
	c, hello := &m.process.CPU, &m.Conn.Hello
	c.TotalNs = c.SinceNs + hello.Used.TotalNs
	c.UserUs += hello.Used.UserUs
	c.SystemUs += hello.Used.SystemUs
	c.ChildrenUserUs += hello.ChildrenUsed.UserUs
	c.ChildrenSystemUs += hello.ChildrenUsed.SystemUs
	c.Record, c.Threads, c.Clock = image.Address(hello.CPU), image.Address(hello.CPUThreads), image.Address(hello.CPUClock)
}

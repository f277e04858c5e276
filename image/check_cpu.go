package image

import (
	"fmt"

	"crak.dev/crak/internal/abi"
)

// maxCPUNs is more CPU time than any process can have used: 4096 years.
const maxCPUNs = 1 << 57

// checkCPU checks the CPU times and the addresses: a restart writes to Record and Threads, and the program calls Clock.
func checkCPU(p *Process) error {
	c := &p.CPU
	for _, us := range []int64{c.UserUs, c.SystemUs, c.ChildrenUserUs, c.ChildrenSystemUs} {
		if us < 0 || us > maxCPUNs/1000 {
			return fmt.Errorf("cpu: %d µs: not a CPU time", us)
		}
	}
	if c.SinceNs < 0 || c.TotalNs < c.SinceNs || c.TotalNs > maxCPUNs {
		return fmt.Errorf("cpu: %d ns, %d of them since the last restart: not a CPU time", c.TotalNs, c.SinceNs)
	}
	if c.Record == 0 {
		return nil // the resident does not use it
	}
	if !p.has(c.Record, abi.CPUSize) || !p.has(c.Threads, abi.CPUThreadSize*abi.CPUThreadsMax) || !p.has(c.Clock, 1) {
		return fmt.Errorf("cpu: record %v, threads %v, clock %v: not in mappings", c.Record, c.Threads, c.Clock)
	}
	return nil
}

func checkCPUTime(t *abi.CPUTime) error {
	for _, ns := range []int64{t.TotalNs, t.UserUs, t.SystemUs} {
		if ns < 0 || ns > maxCPUNs {
			return fmt.Errorf("parked.CPU: %d: not a CPU time", ns)
		}
	}
	return nil
}

// has tells whether a single mapping contains the whole range.
func (p *Process) has(start Address, length Address) bool {
	m := p.mapping(start)
	return m != nil && length <= m.End-start
}

package image

import (
	"errors"
	"fmt"
	"sort"

	"crak.dev/crak/internal/abi"
)

const (
	maxPid     = 1 << 22 // PID_MAX_LIMIT
	maxFd      = 1 << 30
	maxObject  = 1 << 62
	maxTimers  = 1 << 20
	maxVDSO    = 1 << 18
	maxPending = 1 << 20
	maxRobust  = 2048 // ROBUST_LIST_LIMIT
	futexTID   = 0x3fffffff
	signals    = 64
	infoSize   = 128 // siginfo_t
)

func (c *checker) process(p *Process) error {
	if p.Pid <= 0 || p.Pid > maxPid {
		return fmt.Errorf("pid: %d: not 1 to %d", p.Pid, maxPid)
	}
	if err := checkRelatives(p.Parent, p.ProcessGroup, p.Session); err != nil {
		return err
	}
	if p.ExitSignal < 0 || p.ExitSignal > signals {
		return fmt.Errorf("exit_signal: %d: not 0 to %d", p.ExitSignal, signals)
	}
	if p.StoppedBy < 0 || p.StoppedBy > signals {
		return fmt.Errorf("stopped_by: %d: not 0 to %d", p.StoppedBy, signals)
	}
	if p.StopTold && p.StoppedBy == 0 {
		return errors.New("stop_told: the process is not stopped")
	}
	if len(p.VDSO) > maxVDSO {
		return fmt.Errorf("vdso: %d bytes: more than %d", len(p.VDSO), maxVDSO)
	}
	if err := checkMappings(p.Mappings, c.memory); err != nil {
		return err
	}
	if id := p.ExecutableMemory; id != 0 && !c.memory[id] {
		return fmt.Errorf("executable_memory: %d: no such memory object", id)
	}
	if len(p.Threads) == 0 {
		return errors.New("threads: none")
	}
	if tid := Pid(p.Threads[0].Parked.Tid); tid != p.Pid {
		return fmt.Errorf("threads[0].parked.Tid: %d: not the pid, %d", tid, p.Pid)
	}
	for i := range p.Threads {
		if err := c.thread(&p.Threads[i], p); err != nil {
			return fmt.Errorf("threads[%d].%w", i, err)
		}
	}
	if err := checkSignals(p); err != nil {
		return err
	}
	if p.Clocks.MonotonicNs < 0 || p.Clocks.BoottimeNs < 0 {
		return fmt.Errorf("clocks: monotonic %d ns, boottime %d ns: negative", p.Clocks.MonotonicNs, p.Clocks.BoottimeNs)
	}
	if err := checkCPU(p); err != nil {
		return err
	}
	for i, l := range p.Limits {
		if l.Resource < 0 || l.Resource >= 64 || l.Soft > l.Hard {
			return fmt.Errorf("limits[%d]: resource %d, soft %d, hard %d: not a limit", i, l.Resource, l.Soft, l.Hard)
		}
	}
	return c.descriptors(p.Descriptors)
}

// checkRelatives checks the numbers of a process's parent, process group and session. They are 0 if they are outside its PID namespace.
func checkRelatives(parent, group, session Pid) error {
	for _, r := range []struct {
		name string
		pid  Pid
	}{{"parent", parent}, {"process_group", group}, {"session", session}} {
		if r.pid < 0 || r.pid > maxPid {
			return fmt.Errorf("%s: %d: not 0 to %d", r.name, r.pid, maxPid)
		}
	}
	return nil
}

func (c *checker) thread(t *Thread, p *Process) error {
	k := &t.Parked
	tid := Pid(k.Tid)
	if tid <= 0 || tid > maxPid || c.tids[tid] {
		return fmt.Errorf("parked.Tid: %d: not a new number from 1 to %d", tid, maxPid)
	}
	c.tids[tid] = true
	if k.Flags&abi.ThreadDead != 0 {
		return nil
	}
	for _, a := range []struct {
		name  string
		value uint64
	}{{"Context", k.Context}, {"Frame", k.Frame}} {
		if p.mapping(Address(a.value)) == nil {
			return fmt.Errorf("parked.%s: %#x: not in a mapping", a.name, a.value)
		}
	}
	if err := checkCPUTime(&k.CPU); err != nil {
		return err
	}
	if err := checkRobust(t.Robust, tid); err != nil {
		return err
	}
	return checkInfos(t.Pending)
}

func checkRobust(all []Robust, tid Pid) error {
	if len(all) > maxRobust {
		return fmt.Errorf("robust: %d: more than %d", len(all), maxRobust)
	}
	for i, r := range all {
		if r.Word%4 != 0 || Pid(r.Value&futexTID) != tid {
			return fmt.Errorf("robust[%d]: word %v, value %#x: not a futex that thread %d holds", i, r.Word, r.Value, tid)
		}
	}
	return nil
}

// mapping returns the mapping that contains an address. Preconditions: the mappings are sorted.
func (p *Process) mapping(a Address) *Mapping {
	n := sort.Search(len(p.Mappings), func(n int) bool { return p.Mappings[n].End > a })
	if n < len(p.Mappings) && p.Mappings[n].Start <= a {
		return &p.Mappings[n]
	}
	return nil
}

func checkSignals(p *Process) error {
	if len(p.Actions) != signals {
		return fmt.Errorf("actions: %d, not %d", len(p.Actions), signals)
	}
	if err := checkInfos(p.Pending); err != nil {
		return err
	}
	for i, t := range p.Intervals {
		if t.IntervalUs < 0 || t.ValueUs < 0 {
			return fmt.Errorf("intervals[%d]: interval %d µs, value %d µs: negative", i, t.IntervalUs, t.ValueUs)
		}
	}
	if len(p.Timers) > maxTimers {
		return fmt.Errorf("timers: %d: more than %d", len(p.Timers), maxTimers)
	}
	seen := make(map[int32]bool)
	for i, t := range p.Timers {
		switch {
		case t.ID < 0 || seen[t.ID]:
			return fmt.Errorf("timers[%d].id: %d: not a new number", i, t.ID)
		case t.IntervalNs < 0 || t.ValueNs < 0:
			return fmt.Errorf("timers[%d]: interval %d ns, value %d ns: negative", i, t.IntervalNs, t.ValueNs)
		}
		seen[t.ID] = true
	}
	return nil
}

func checkInfos(infos []SignalInfo) error {
	if len(infos) > maxPending {
		return fmt.Errorf("pending: %d: more than %d", len(infos), maxPending)
	}
	for i, s := range infos {
		if len(s) != infoSize {
			return fmt.Errorf("pending[%d]: %d bytes, not %d", i, len(s), infoSize)
		}
	}
	return nil
}

func (c *checker) descriptors(all []Descriptor) error {
	seen := make(map[int]bool)
	for i, d := range all {
		switch {
		case d.Fd < 0 || d.Fd >= maxFd || seen[d.Fd]:
			return fmt.Errorf("descriptors[%d].fd: %d: not a new number from 0 to %d", i, d.Fd, maxFd-1)
		case !c.descriptions[d.Description]:
			return fmt.Errorf("descriptors[%d].description: %d: not one of the descriptions", i, d.Description)
		}
		seen[d.Fd] = true
	}
	return nil
}

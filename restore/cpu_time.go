package restore

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/host"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/program"
)

// goOnWithCPUTime restores a member's CPU time. The kernel counts that of a restored process from 0, so the resident adds what
// was used before:
//
//	getrusage, times   the resident interposes them
//	clock_gettime      the vDSO makes a system call for CPU-time clocks only. In the member's
//	                   copy it calls the resident instead. All other clocks are as fast as before.
//
// This function writes the CPU time used before into the resident's memory. Preconditions: the member's memory is filled.
func (g *group) goOnWithCPUTime(of *member) error {
	p, seen := of.process.Process, of.seen
	if p.CPU.Record == 0 {
		return nil
	}
	threads := usedByThreads(p)
	if len(threads) > abi.CPUThreadsMax {
		g.env.Notice(fmt.Sprintf("pid %d: CPU time begins anew for all but %d of %d threads", p.Pid, abi.CPUThreadsMax, len(threads)))
		threads = threads[:abi.CPUThreadsMax]
	}
	record := abi.CPU{
		Process:  abi.CPUTime{TotalNs: p.CPU.TotalNs, UserUs: p.CPU.UserUs, SystemUs: p.CPU.SystemUs},
		Children: abi.CPUTime{UserUs: p.CPU.ChildrenUserUs, SystemUs: p.CPU.ChildrenSystemUs},
		Threads:  uint64(len(threads)),
	}
	if err := writeTo(seen, p.CPU.Record, program.Raw(record)); err != nil {
		return fmt.Errorf("pid %d: CPU time: %w", p.Pid, err)
	}
	if err := writeTo(seen, p.CPU.Threads, program.Raw(threads)); err != nil {
		return fmt.Errorf("pid %d: CPU time of threads: %w", p.Pid, err)
	}
	if err := detourVDSO(seen, p); err != nil {
		g.env.Notice(fmt.Sprintf("pid %d: clocks of CPU time begin anew: %v", p.Pid, err))
	}
	return nil
}

// usedByThreads returns the CPU time of each thread, sorted by TID.
func usedByThreads(p *image.Process) (all []abi.CPUThread) {
	for i := range p.Threads {
		all = append(all, abi.CPUThread{Tid: p.Threads[i].Parked.Tid, Used: p.Threads[i].Parked.CPU})
	}
	slices.SortFunc(all, func(a, b abi.CPUThread) int { return cmp.Compare(a.Tid, b.Tid) })
	return all
}

func writeTo(pid int, at image.Address, data []byte) error {
	_, err := writeRuns(pid, 0, []image.Run{{Start: uint64(at), Length: uint64(len(data))}}, data)
	return err
}

// ownVDSO is the vDSO of this kernel.
var ownVDSO = sync.OnceValues(func() ([]byte, error) { return host.VDSO(os.Getpid()) })

// detourVDSO changes the vDSO of a process. The kernel then gives the process its own copy of the changed pages. The vDSO is not
// writable for the process, so crak writes to /proc/PID/mem, as a debugger does to set a breakpoint.
func detourVDSO(pid int, p *image.Process) error {
	ours, err := ownVDSO()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.Mappings, func(m image.Mapping) bool { return m.Kind == image.MappingKernel && m.Name == "[vdso]" })
	if i < 0 || len(ours) == 0 {
		return nil // without a vDSO the C library makes the system call
	}
	code := bytes.Clone(ours)
	if err := detour(code, uint64(p.CPU.Clock)); err != nil {
		return err
	}
	memory, err := os.OpenFile(proc.Path(pid, "mem"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	for _, page := range changedPages(ours, code) {
		if _, err := memory.WriteAt(code[page.Start:page.End()], int64(p.Mappings[i].Start)+int64(page.Start)); err != nil {
			return err
		}
	}
	return nil
}

// changedPages returns the pages in which two versions of the same length differ.
func changedPages(old, new []byte) (all []image.Run) {
	for at := 0; at < len(old); at += image.PageSize {
		end := min(at+image.PageSize, len(old))
		if !bytes.Equal(old[at:end], new[at:end]) {
			all = append(all, image.Run{Start: uint64(at), Length: uint64(end - at)})
		}
	}
	return all
}

// detour replaces the system call in clock_gettime of a vDSO by a call of the code at target. The new code goes behind the last
// used byte: a vDSO is mapped in whole pages, so there is usually room.
func detour(code []byte, target uint64) error {
	all, err := functions(code)
	if err != nil {
		return fmt.Errorf("vDSO: %w", err)
	}
	f, ok := all["__vdso_clock_gettime"]
	if !ok {
		f, ok = all["clock_gettime"]
	}
	if !ok {
		return nil // the C library makes the system call
	}
	end := min(f.Value+f.Size, uint64(len(code)))
	if f.Value >= end {
		return fmt.Errorf("vDSO: clock_gettime at %#x: outside", f.Value)
	}
	room := len(bytes.TrimRight(code, "\x00")) + 8
	found := 0
	for at := int(f.Value); ; found++ {
		next := bytes.Index(code[at:end], systemCallOf(unix.SYS_CLOCK_GETTIME))
		if next < 0 {
			break
		}
		at += next
		room += detourOne(code, at, room, target)
		if room > len(code) {
			return fmt.Errorf("vDSO: no room in its %d bytes", len(code))
		}
	}
	if found == 0 {
		return fmt.Errorf("vDSO: no system call in the %d bytes of clock_gettime", f.Size)
	}
	return nil
}

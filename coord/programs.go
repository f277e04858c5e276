package coord

import (
	"os"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// A Program is a process that has libcrak.so, or descends from one that has it.
type Program struct {
	Pid      int
	Parent   int
	Root     int    // of its group: it has libcrak.so, and no ancestor that has it
	Group    string // the name of its group, if a user has chosen one
	Name     string // comm
	UID      uint32 // effective user ID
	Threads  int
	Memory   uint64 // in RAM (VmRSS), in bytes
	Resident bool   // it has libcrak.so
	Zombie   bool   // it has ended, and its parent has not waited for it yet

	start  uint64
	id     string // of its group
	inside int    // its PID in its own PID namespace
}

// Programs lists the processes of this PID namespace that have libcrak.so, and their descendants. It lists those that the caller
// may look into: a user's own processes; for root all processes.
func Programs() ([]Program, error) {
	pids, err := proc.Pids()
	if err != nil {
		return nil, err
	}
	known := make(map[int]*Program, len(pids))
	for _, pid := range pids {
		if p := programAt(pid); p != nil {
			known[pid] = p
		}
	}
	var all []Program
	for _, pid := range pids {
		if p := known[pid]; p != nil {
			if p.Root = rootOf(p, known); p.Root != 0 {
				all = append(all, *p)
			}
		}
	}
	roots := commonRoots(all)
	for i := range all {
		if root, ok := roots[all[i].Root]; ok {
			all[i].Root = root
		}
	}
	return all, nil
}

// commonRoots returns the roots of groups for programs that do not descend from them. The programs of one user in a named group
// have the oldest of them as root. The orphans of a run have as root the program that crak run has started.
func commonRoots(all []Program) map[int]int {
	type key struct {
		uid uint32
		id  string
	}
	oldest, runs := make(map[key]*Program), make(map[key]*Program)
	for i := range all {
		p := &all[i]
		k := key{p.UID, p.id}
		if p.inside == runOf(p.id) {
			runs[k] = p
		}
		if o := oldest[k]; p.Pid == p.Root && (o == nil || p.start < o.start || p.start == o.start && p.Pid < o.Pid) {
			oldest[k] = p
		}
	}
	roots := make(map[int]int)
	for i := range all {
		p := &all[i]
		if p.Pid != p.Root || p.id == "" {
			continue
		}
		k := key{p.UID, p.id}
		if run := runs[k]; run != nil {
			roots[p.Pid] = run.Root
		} else if !isRun(p.id) {
			roots[p.Pid] = oldest[k].Pid
		}
	}
	return roots
}

// rootOf returns the highest ancestor of a process, or the process itself, that has libcrak.so. It is 0 if there is none.
func rootOf(p *Program, known map[int]*Program) (root int) {
	for range len(known) { // parents may change meanwhile: bound the walk
		if p == nil {
			break
		}
		if p.Resident {
			root = p.Pid
		}
		p = known[p.Parent]
	}
	return root
}

// programAt describes a process. The result is nil for a process that belongs to crak: a reaper, a twin or a writer.
func programAt(pid int) *Program {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil || stat.State == 'X' || stat.ExitSignal == abi.ExitSignal {
		return nil
	}
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil || pid == os.Getpid() {
		return nil
	}
	p := &Program{Pid: pid, Parent: stat.PPid, Name: stat.Comm, UID: status.Uid[1], Threads: stat.Threads,
		Memory: uint64(max(stat.RssPages, 0)) * uint64(os.Getpagesize()), Zombie: stat.HasEnded(), start: stat.StartTime, inside: insidePid(status)}
	if p.Zombie {
		p.Threads = 0
		return p
	}
	p.id, _, _ = groupOf(pid)
	if !isRun(p.id) {
		p.Group = p.id
	}
	mappings, err := proc.Read(pid, "maps", proc.Maps)
	if err != nil {
		return p
	}
	if isWriter(pid) {
		return nil
	}
	memory, _ := os.Open(proc.Path(pid, "mem")) // reads from a nil file fail
	defer memory.Close()
	_, p.Resident = resident.FindLibrary(mappings, memory)
	return p
}

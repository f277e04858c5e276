package coord

import (
	"os"
	"path/filepath"
	"strings"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// A Program is a process that has libcrak.so, or descends from one that has it.
type Program struct {
	Pid      int
	Parent   int
	Root     int    // the nearest process that has libcrak.so, and no ancestor that has it
	Group    string // CRAK_GROUP of the environment in which it was started
	Name     string // comm
	UID      uint32 // effective user ID
	Threads  int
	Memory   uint64 // in RAM (VmRSS), in bytes
	Resident bool   // it has libcrak.so
	Zombie   bool   // it has ended, and its parent has not waited for it yet
}

// Programs lists the processes of this PID namespace that have libcrak.so, and their descendants. It lists those that the caller
// may look into: the caller's own, or root's choice of all.
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
	return all, nil
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
	if err != nil || stat.State == 'X' || stat.ExitSignal == abi.FreezeSignal {
		return nil
	}
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil || pid == os.Getpid() {
		return nil
	}
	p := &Program{Pid: pid, Parent: stat.PPid, Name: stat.Comm, UID: status.Uid[1], Threads: stat.Threads,
		Memory: uint64(max(stat.RssPages, 0)) * uint64(os.Getpagesize()), Zombie: isDead(&stat)}
	if p.Zombie {
		p.Threads = 0
		return p
	}
	environment, err := proc.ReadFile(proc.Path(pid, "environ"))
	if err != nil {
		return p
	}
	for _, entry := range strings.Split(string(environment), "\x00") {
		if name, ok := strings.CutPrefix(entry, "CRAK_GROUP="); ok {
			p.Group = name
			break
		}
	}
	mappings, err := proc.Read(pid, "maps", proc.Maps)
	if err != nil {
		return p
	}
	if exe, _ := os.Readlink(proc.Path(pid, "exe")); strings.Contains(filepath.Base(exe), "libcrak") {
		return nil // a writer executes libcrak.so itself
	}
	memory, _ := os.Open(proc.Path(pid, "mem")) // reads from a nil file fail
	defer memory.Close()
	_, p.Resident = resident.FindLibrary(mappings, memory)
	return p
}

package tracer

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// isHandling tells whether a thread is inside the handler: it blocks the freeze signal, and executes code of the library. glibc also blocks all
// signals for a moment, when it makes a thread for example. Preconditions: all threads are waiting.
func (h *Tracer) isHandling() (is bool) {
	h.call(func() {
		var code *proc.Mapping
		for _, t := range h.threads {
			if mask, err := maskOf(t.tid); err != nil || mask&freezeBit == 0 {
				continue
			}
			if code == nil {
				code = codeOf(h.pid)
			}
			var registers unix.PtraceRegs
			err := unix.PtraceGetRegs(t.tid, &registers)
			is = is || err == nil && code.Start <= registers.PC() && registers.PC() < code.End
		}
	})
	return is
}

// codeOf is the mapping of the library's code in a process. It is empty if there is none.
func codeOf(pid int) *proc.Mapping {
	mappings, _ := proc.Read(pid, "maps", proc.Maps)
	memory, _ := os.Open(proc.Path(pid, "mem")) // reads from a nil file fail
	defer memory.Close()
	library, found := resident.FindLibrary(mappings, memory)
	for i := range mappings {
		if m := &mappings[i]; found && m.Start >= library && m.Prot&unix.PROT_EXEC != 0 {
			return m
		}
	}
	return new(proc.Mapping)
}

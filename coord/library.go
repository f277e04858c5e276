package coord

import (
	"os"

	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// hasLibrary looks for libcrak.so among the mappings. A process that may not be dumped shows none: then the handler of the
// freeze signal has to do.
func hasLibrary(pid int) bool {
	mappings, err := proc.Read(pid, "maps", proc.Maps)
	if err != nil {
		return true
	}
	memory, _ := os.Open(proc.Path(pid, "mem")) // nothing can be read of nil
	defer memory.Close()
	_, found := resident.FindLibrary(mappings, memory)
	return found
}

package coord

import (
	"os"

	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// hasLibrary looks for libcrak.so in the mappings of a process. The mappings of a process that is not dumpable cannot be read:
// the result is then true, and only the handler of the freeze signal shows that there is a resident.
func hasLibrary(pid int) bool {
	found, err := findLibrary(pid)
	return found || err != nil
}

func findLibrary(pid int) (bool, error) {
	mappings, err := proc.Read(pid, "maps", proc.Maps)
	if err != nil {
		return false, err
	}
	memory, _ := os.Open(proc.Path(pid, "mem")) // reads from a nil file fail
	defer memory.Close()
	_, found := resident.FindLibrary(mappings, memory)
	return found, nil
}

package restore

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// terminalTimeout is how long crak waits for a pseudo-terminal to disappear. The twin of the last checkpoint, or a process that is
// exiting, may still have it open.
const terminalTimeout = 300 * time.Millisecond

// takenTerminal returns the path of a pseudo-terminal of the group whose number another program has now, or "".
func takenTerminal(g *image.Group) (path string) {
	for deadline := time.Now().Add(terminalTimeout); ; time.Sleep(5 * time.Millisecond) { // there is no event for this
		if path = fd.TakenPty(g); path == "" || time.Now().After(deadline) {
			return path
		}
	}
}

// mountTerminals mounts a new instance of devpts, in which all numbers are free. crak's own terminal then has no name in the program's
// mount namespace. Programs reach it as /dev/tty.
func mountTerminals(directory string) error {
	if err := unix.Mount("devpts", directory, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return obstacle.List{{What: "new instance of devpts", Why: fmt.Sprintf("mount %s: %v", directory, err),
			Do: "end the program that has the pseudo-terminal, or restart as root"}}
	}
	return nil
}

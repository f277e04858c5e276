package coord

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// programOf identifies the program that a process executes. The kernel chooses new random addresses for each execve(2), and
// the auxiliary vector contains them. The result is "" if the writer may not read it, and if the process has ended.
func programOf(pid int) string {
	live, err := liveThread(pid) // an exited thread has no auxiliary vector
	if err != nil {
		return ""
	}
	auxv, err := os.ReadFile(proc.Path(live, "auxv"))
	if err != nil {
		return ""
	}
	return string(auxv)
}

// programBefore is what programOf was when Adopt looked at the process, or is now.
func (r *Rights) programBefore(pid int) string {
	if r != nil && r.program != "" {
		return r.program
	}
	return programOf(pid)
}

// differ tells whether two results of programOf are certainly of different programs. The auxiliary vector of a program that is
// not dumpable can be read only while the program is frozen.
func differ(program, other string) bool { return program != "" && other != "" && program != other }

const executedAnother = "it has executed another program meanwhile"

// errAnother is the error for a process that executed another program during the checkpoint.
func errAnother(pid int) error {
	return obstacle.Obstacle{Pid: pid, What: executedAnother, Why: "crak had checked the program before it", Do: "try again"}
}

// isAnotherError tells whether an error is that of errAnother.
func isAnotherError(err error) bool {
	o, ok := errors.AsType[obstacle.Obstacle](err)
	return ok && o.What == executedAnother
}

// errNoProcess is the error for a PID that no process has.
var errNoProcess = errors.New("no such process")

// changedSince returns the error that replaces err if the process has ended, or has executed another program since programOf
// returned before. err then may be about the earlier program. changedSince returns nil if err is about the present one.
func changedSince(pid int, before string, err error) error {
	var list obstacle.List
	if err == nil || errors.Is(err, ErrBusy) || errors.Is(err, errNoProcess) {
		return nil
	}
	if differ(programOf(pid), before) {
		return errAnother(pid)
	}
	if isList := errors.As(err, &list); before == "" && isList { // candidate may have found that the process has ended
		return nil
	}
	_, err = liveThread(pid)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, resident.ErrEnded) {
		return fmt.Errorf("pid %d: %w", pid, resident.ErrEnded)
	}
	return nil
}

package coord

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/sysname"
)

// explain adds to a freeze that failed what the thread that did not park is doing.
func explain(err error) error {
	var e *resident.FreezeError
	if !errors.As(err, &e) || e.Code != abi.FailedPark {
		return err
	}
	name := fmt.Sprintf("task/%d/", e.Tid)
	what := "thread that does not stop"
	if s, err := proc.Read(e.Pid, name+"stat", proc.Stat); err == nil {
		what = fmt.Sprintf("thread %q in state %c", s.Comm, s.State)
	}
	if s, err := proc.Read(e.Pid, name+"syscall", proc.Syscall); err == nil && !s.Running && s.Number >= 0 {
		what += ", in system call " + sysname.Of(int64(s.Number))
	}
	if channel, err := os.ReadFile(proc.Path(e.Pid, name+"wchan")); err == nil && len(channel) > 1 {
		what += ", waiting in the kernel's " + strings.TrimSpace(string(channel))
	}
	return obstacle.List{{
		Pid:   e.Pid,
		Where: fmt.Sprintf("thread %d", e.Tid),
		What:  what,
		Why:   fmt.Sprintf("it takes no signal, and did not stop within %.0f s", float64(e.Detail)/1000),
		Do:    "try again when the call is over",
	}}
}

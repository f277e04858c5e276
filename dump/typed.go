package dump

import (
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// typedSignals are those that a terminal sends for ^C, ^\ and ^Z.
const typedSignals = 1<<(unix.SIGINT-1) | 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGTSTP-1)

// refuseTyped refuses a signal that a pseudo-terminal of the program has sent after the pending signals were read. A worker of the kernel
// moves what was written to the master to the slave, and on a busy machine it may do so only when the writer looks at the slave.
func (m *Member) refuseTyped() error {
	if !slices.ContainsFunc(m.Table.Objects, fd.IsPty) {
		return nil
	}
	status, err := proc.Read(m.Live, "status", proc.Status)
	if err != nil {
		return err
	}
	come := status.ShdPnd & typedSignals
	for _, info := range m.process.Pending {
		come &^= 1 << (info.Signal() - 1)
	}
	if come != 0 {
		m.obstacles = append(m.obstacles, obstacle.Obstacle{Pid: m.Pid, What: "signal of a pseudo-terminal",
			Why: "it has come while the program was frozen", Do: "try again a moment later", Passes: true})
	}
	return nil
}

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// underReaper is set in the environment of the process that UnderReaper starts.
const underReaper = "CRAK_LAB_UNDER_REAPER"

// UnderReaper runs main in a child process that executes this program once more, with the same arguments, and returns its exit
// status. This process only reaps. When a group is killed, its processes lose their parents and go to the nearest subreaper,
// which is this process. Process 1 might reap them late or never, and their PIDs would be in use when the group is restarted.
//
//	this process (subreaper) ─── the lab ─── program, or crak restart ─── …
//
// A lab without such a parent works, too, but waits until process 1 reaps these processes.
func UnderReaper(main func() int) int {
	if os.Getenv(underReaper) != "" {
		os.Unsetenv(underReaper)
		return main()
	}
	status, err := reap()
	if err != nil {
		fmt.Fprintf(os.Stderr, "crak-lab: reaper: %v\n", err)
		return 1
	}
	return status
}

// reap starts the child, passes signals on to it, and waits for every process until the child ends.
func reap() (int, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("PR_SET_CHILD_SUBREAPER: %w", err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), underReaper+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The signal comes at the end of the thread that forks, so this goroutine keeps its thread.
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may just have ended
		}
	}()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case pid == cmd.Process.Pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case pid == cmd.Process.Pid:
			return ws.ExitStatus(), nil
		}
	}
}

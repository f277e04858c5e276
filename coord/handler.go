package coord

import (
	"bytes"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/kcmp"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// The freeze signal kills a program that has no handler for it. The writer therefore checks for a handler before it sends the
// signal. The process may execute another program between the check and the signal. There are three cases:
//
//   - The program calls an exec function of libc. The resident ignores the signal during the call, and the new program begins
//     with the signal ignored (shim/exec.c). The kernel drops an order that arrives meanwhile. The writer sends it again.
//   - The process is a child of vfork. It has its parent's handler until it executes a program, and it may do so without libc.
//     The writer checks first whether the process shares its parent's memory, and then the handler. A process that shares no
//     memory never shares it later, so the handler belongs to the program that will get the signal.
//   - The program makes the system call execve itself, without libc. The signal kills the new program if it arrives before
//     the constructor of libcrak.so has run. The writer cannot prevent this.

const (
	timeoutExec    = 2 * time.Second        // for the constructor of libcrak.so in a new program
	timeoutLaunch  = 5 * time.Second        // for crak run to execute the program
	timeoutHandler = 200 * time.Millisecond // the same, if nothing shows that the program has libcrak.so
	timeoutVfork   = 5 * time.Second        // for a child of vfork to execute a program
	intervalExec   = 10 * time.Millisecond  // between two checks for that, at most
	firstLook      = 200 * time.Microsecond // before the second check of these; each interval is twice the one before. Members may be frozen meanwhile
)

// isExpected tells whether the process has a handler for the freeze signal.
func isExpected(status proc.StatusInfo) bool {
	return status.SigCgt&(1<<(abi.FreezeSignal-1)) != 0
}

// sharesMemory tells whether a process shares the memory of its parent: a child of vfork does until it executes a program.
// If the kernel cannot tell, the result is false.
func sharesMemory(pid, parent int) bool {
	order, err := kcmp.Threads(pid, parent, kcmp.Memory)
	return err == nil && order == 0 && parent > 0
}

// awaitHandler waits for a process that has no handler for the freeze signal yet: it may have executed a program in which the
// constructor of libcrak.so has not run yet, or it is a crak run that has not executed the program yet. It also waits for a child of
// vfork, which shares its parent's memory until it executes a program or ends. The result tells whether the process has a handler.
func awaitHandler(pid int) bool {
	begun := time.Now()
	wait := firstLook
	for launching := begun; ; wait = min(2*wait, intervalExec) {
		if isLauncher(pid) && time.Since(launching) < timeoutLaunch {
			time.Sleep(wait) // no event tells of another process's execve, or of the handlers that it installs
			begun = time.Now()
			continue
		}
		status, err := proc.Read(pid, "status", proc.Status)
		waited := time.Since(begun)
		switch {
		case err != nil || status.State == 'Z' && status.Threads <= 1 || status.State == 'X': // while a thread executes a program, its leader is a zombie
			return false
		case sharesMemory(pid, status.PPid):
			if waited > timeoutVfork {
				return false
			}
		case isExpected(status):
			return true
		case waited > timeoutExec, waited > timeoutHandler && !awaitsLibrary(pid) && !isFork(pid):
			return false
		}
		time.Sleep(wait) // as above
	}
}

// isFork tells whether a process has executed no program since it was forked. A shell forks before it executes crak run.
func isFork(pid int) bool {
	const forkNoExec = 0x40 // PF_FORKNOEXEC (linux/sched.h)
	stat, err := proc.Read(pid, "stat", proc.Stat)
	return err == nil && stat.Flags&forkNoExec != 0
}

// isOwn tells whether a process executes the same crak as this one. It looks at a live thread: while a thread executes a program, the
// thread group leader is a zombie, and has no executable.
func isOwn(pid int) bool {
	ours, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false
	}
	live, err := liveThread(pid)
	if err != nil {
		return false
	}
	theirs, err := os.Stat(proc.Path(live, "exe"))
	return err == nil && os.SameFile(ours, theirs)
}

// isLauncher tells whether a process is a crak run, which is about to execute a program.
func isLauncher(pid int) bool { return isOwn(pid) && startsRun(pid) }

// startsRun tells whether the first argument of a program is "run".
func startsRun(pid int) bool {
	live, err := liveThread(pid)
	if err != nil {
		return false
	}
	const longest = unix.PathMax + 8 // the name of the program, and the argument
	arguments, err := proc.ReadStart(proc.Path(live, "cmdline"), longest)
	words := bytes.Split(arguments, []byte{0})
	return err == nil && len(words) > 1 && string(words[1]) == "run"
}

// awaitsLibrary tells whether a program may have been started with libcrak.so, which the loader has yet to load. Early in
// execve(2) the environment is empty.
func awaitsLibrary(pid int) bool {
	environ, err := proc.ReadStart(proc.Path(pid, "environ"), longestEnvironment)
	if err != nil || len(environ) > 0 && !bytes.Contains(environ, []byte("libcrak")) {
		return false
	}
	what, _ := Preloadable(proc.Path(pid, "exe"))
	return what == ""
}

// mayOrder tells whether the freeze signal would reach a handler of the process now.
func mayOrder(pid int) (bool, error) {
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return false, err
	}
	shares := sharesMemory(pid, status.PPid)
	status, err = proc.Read(pid, "status", proc.Status)
	// A thread group leader that has ended is a zombie as long as other threads live.
	if err == nil && (status.State == 'Z' && status.Threads <= 1 || status.State == 'X') {
		err = resident.ErrEnded
	}
	return err == nil && !shares && isExpected(status), err
}

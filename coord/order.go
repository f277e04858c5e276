package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
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
//
// An order is also lost if it arrives while the program has another handler or ignores the signal, and goes on after that. When a program
// creates its first thread, glibc installs a handler of its own, and the resident installs its handler again a moment later
// (shim/pthread.c). While a call of an exec function of libc fails, the signal is ignored. The writer sends such an order again.

// isExpected tells whether the process has a handler for the freeze signal.
func isExpected(status proc.StatusInfo) bool {
	return status.SigCgt&(1<<(abi.FreezeSignal-1)) != 0
}

// sharesMemory tells whether a process shares the memory of its parent: a child of vfork does until it executes a program.
// (kcmp(2); a kernel without CONFIG_KCMP has no such call. The result is then false.)
func sharesMemory(pid, parent int) bool {
	const kcmpVM = 1
	different, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(parent), kcmpVM, 0, 0, 0)
	return errno == 0 && different == 0 && parent > 0
}

// awaitHandler waits for a process that has no handler for the freeze signal yet: it may have executed a program in which the
// constructor of libcrak.so has not run yet, or it is a crak run that has not executed the program yet. It also waits for a child of
// vfork, which shares its parent's memory until it executes a program or ends. The result tells whether the process has a handler.
func awaitHandler(pid int) bool {
	begun := time.Now()
	wait := firstLook
	for launching := begun; ; wait = min(2*wait, intervalExec) {
		if isLauncher(pid) && time.Since(launching) < patienceLaunch {
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
			if waited > patienceVfork {
				return false
			}
		case isExpected(status):
			return true
		case waited > patienceExec, waited > patienceHandler && !awaitsLibrary(pid) && !isFork(pid):
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
func isLauncher(pid int) bool {
	if !isOwn(pid) {
		return false
	}
	live, err := liveThread(pid)
	if err != nil {
		return false
	}
	arguments, err := os.ReadFile(proc.Path(live, "cmdline"))
	words := bytes.Split(arguments, []byte{0})
	return err == nil && len(words) > 1 && string(words[1]) == "run"
}

// awaitsLibrary tells whether a program may have been started with libcrak.so, which the loader has yet to load. Early in
// execve(2) the environment is empty.
func awaitsLibrary(pid int) bool {
	environ, err := os.ReadFile(proc.Path(pid, "environ"))
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

// isAnother tells whether the process has executed another program since isReady was last true.
func (m *member) isAnother() bool { return differ(programOf(m.pid), m.program) }

const (
	patienceExec    = 2 * time.Second        // for the constructor of libcrak.so in a new program
	patienceLaunch  = 5 * time.Second        // for crak run to execute the program
	patienceHandler = 200 * time.Millisecond // the same, if nothing shows that the program has libcrak.so
	patienceVfork   = 5 * time.Second        // for a child of vfork to execute a program
	intervalExec    = 10 * time.Millisecond  // between two checks for that, at most
	intervalOrder   = 50 * time.Millisecond  // between two checks whether an unanswered order was dropped, at most
	intervalAgain   = 500 * time.Millisecond // after an order that is not pending and not answered, before it is sent again
	firstLook       = 200 * time.Microsecond // before the second check of these; each interval is twice the one before. Members may be frozen meanwhile
)

// isReady tells whether the process executes a program with libcrak.so now, and has a handler for the freeze signal. It reads
// programOf again at the end. Otherwise a static program that was executed in between could pass with glibc's handler, and
// then execute a third program.
func (m *member) isReady() (bool, error) {
	program := programOf(m.pid)
	if program != m.program && !hasLibrary(m.live) {
		if hasEnded(m.pid) { // a zombie has no mappings; nobody waits for it while its parent is frozen
			return false, resident.ErrEnded
		}
		return false, nil
	}
	expected, err := mayOrder(m.pid)
	if err != nil || !expected || differ(programOf(m.pid), program) {
		return false, err
	}
	m.program = program
	return true, nil
}

// awaitReady waits until isReady: a program that was just executed needs a moment.
func (m *member) awaitReady() error {
	wait := firstLook
	for deadline := time.Now().Add(patienceExec); ; wait = min(2*wait, intervalExec) {
		ready, err := m.isReady()
		switch {
		case ready:
			return nil
		case err != nil:
			return fmt.Errorf("pid %d: %w", m.pid, err)
		case time.Now().After(deadline):
			return errAnother(m.pid)
		}
		select {
		case <-m.context.Done():
			return m.context.Err()
		case <-time.After(wait):
		}
	}
}

// order sends the program an order and returns the connection that the resident makes. The order is lost if the process executes
// another program meanwhile. A query is then sent again to the new program. A freeze is not: only the old program was surveyed.
// The wait ends when ctx is done.
func (m *member) order(ctx context.Context, order int32, patience time.Duration) (conn *resident.Conn, err error) {
	listened := m.listener != nil // then letGo closes it, when nobody is frozen any more
	if err := m.listen(); err != nil {
		return nil, err
	}
	defer func() {
		if !listened || err != nil {
			m.closeListener()
		}
	}()
	listener := m.listener
	defer context.AfterFunc(ctx, listener.Interrupt)()
	surveyed := m.program
	for deadline := time.Now().Add(patience); ; {
		queried := order != abi.OrderQuery && m.key.Holds(m.pid)
		if !queried {
			if err := m.awaitOrder(order, surveyed); err != nil {
				return nil, err
			}
		}
		if err := listener.Order(m.pid, m.live, order); err != nil {
			return nil, explain(err)
		}
		conn, err := m.accept(listener, deadline)
		if queried && err == nil {
			return conn, nil // the resident has accepted the secret; Capture compares its PID
		}
		switch another := m.isAnother(); {
		case another:
			m.key.Forget()
			if err == nil {
				conn.Close()
			}
			if time.Now().After(deadline) {
				return nil, errAnother(m.pid)
			}
		case errors.Is(err, resident.ErrSilent) && time.Now().Before(deadline):
			// The order seems to be lost. If it is not, a resident that has answered it finds no listener when it takes it again.
		case errors.Is(err, resident.ErrSilent):
			return nil, silent(m.pid, m.live, m.holds, patience)
		case err != nil:
			return nil, err
		default:
			return m.believe(conn)
		}
	}
}

// listen opens the socket to which the resident is to connect, if it is not open yet.
func (m *member) listen() (err error) {
	if m.listener == nil {
		m.listener, err = resident.Listen(&m.key)
	}
	return err
}

func (m *member) closeListener() {
	if m.listener != nil {
		m.listener.Close()
		m.listener = nil
	}
}

// awaitOrder waits until isReady, and checks what must be true for an order. A freeze checks the process as a whole only if the writer
// may not read its memory, or if it is no longer the program that was queried: all members that are already frozen wait meanwhile.
// Capture checks the rights of all members again.
func (m *member) awaitOrder(order int32, surveyed string) error {
	if err := m.awaitReady(); err != nil {
		return err
	}
	if order != abi.OrderQuery && differ(m.program, surveyed) {
		return errAnother(m.pid)
	}
	return m.rights.still(m.pid)
}

// believe compares the PID in the resident's HELLO with the one that the kernel reports.
func (m *member) believe(conn *resident.Conn) (*resident.Conn, error) {
	status, err := proc.Read(m.pid, "status", proc.Status)
	if inside := insidePid(status); err == nil && int(conn.Hello.Pid) != inside {
		err = fmt.Errorf("its resident says that its PID is %d, but the PID is %d", conn.Hello.Pid, inside)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("pid %d: %w", m.pid, err)
	}
	return conn, nil
}

// insidePid is the PID of a process in its own PID namespace.
func insidePid(status proc.StatusInfo) int {
	if n := len(status.NSpid); n > 0 {
		return status.NSpid[n-1]
	}
	return status.Pid
}

// accept waits for the resident's connection. It stops waiting when the process executes another program, or when the order is no longer
// pending and has not been answered for intervalAgain.
func (m *member) accept(listener *resident.Listener, deadline time.Time) (*resident.Conn, error) {
	sent := time.Now()
	for wait := 10 * firstLook; ; wait = min(2*wait, intervalOrder) { // most residents connect within it
		conn, err := listener.Accept(m.pid, min(wait, time.Until(deadline)))
		switch {
		case !errors.Is(err, resident.ErrSilent), time.Now().After(deadline), !m.key.Holds(m.pid) && m.isAnother():
			return conn, err
		case time.Since(sent) > intervalAgain && !m.hasOrder():
			return nil, err
		}
	}
}

// hasOrder tells whether an order is pending for the thread to which the writer sends orders.
func (m *member) hasOrder() bool {
	status, err := proc.Read(m.pid, fmt.Sprintf("task/%d/status", m.live), proc.Status)
	return err == nil && status.SigPnd&(1<<(abi.FreezeSignal-1)) != 0
}

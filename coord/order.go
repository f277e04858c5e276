package coord

import (
	"errors"
	"fmt"
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

// awaitHandler waits up to 200 ms for a process that has no handler for the freeze signal. The process may have executed a program
// in which the constructor of libcrak.so has not run yet.
func awaitHandler(pid int) {
	for range 20 {
		status, err := proc.Read(pid, "status", proc.Status)
		if err != nil || isExpected(status) {
			return
		}
		time.Sleep(intervalExec)
	}
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
func (c *checkpoint) isAnother() bool { return differ(programOf(c.Pid), c.member.program) }

const (
	patienceExec  = time.Second           // for the constructor of libcrak.so in a new program
	intervalExec  = 10 * time.Millisecond // between two checks for that
	intervalOrder = 50 * time.Millisecond // between two checks whether an unanswered order was dropped
)

// isReady tells whether the process executes a program with libcrak.so now, and has a handler for the freeze signal. It reads
// programOf again at the end. Otherwise a static program that was executed in between could pass with glibc's handler, and
// then execute a third program.
func (c *checkpoint) isReady() (bool, error) {
	program := programOf(c.Pid)
	if program != c.member.program && !hasLibrary(c.member.live) {
		return false, nil
	}
	expected, err := mayOrder(c.Pid)
	if err != nil || !expected || differ(programOf(c.Pid), program) {
		return false, err
	}
	c.member.program = program
	return true, nil
}

// awaitReady waits until isReady: a program that was just executed needs a moment.
func (c *checkpoint) awaitReady() error {
	for deadline := time.Now().Add(patienceExec); ; {
		ready, err := c.isReady()
		switch {
		case ready:
			return nil
		case err != nil:
			return fmt.Errorf("pid %d: %w", c.Pid, err)
		case time.Now().After(deadline):
			return errAnother(c.Pid)
		}
		select {
		case <-c.Context.Done():
			return c.Context.Err()
		case <-time.After(intervalExec):
		}
	}
}

// order sends the program an order and returns the connection that the resident makes. The order is lost if the process executes
// another program meanwhile. A query is then sent again to the new program. A freeze is not: only the old program was surveyed.
func (c *checkpoint) order(order int32, patience time.Duration) (*resident.Conn, error) {
	surveyed := c.member.program
	for deadline := time.Now().Add(patience); ; {
		if err := c.awaitReady(); err != nil {
			return nil, err
		}
		if order != abi.OrderQuery && differ(c.member.program, surveyed) {
			return nil, errAnother(c.Pid)
		}
		if err := c.Rights.still(c.Pid); err != nil {
			return nil, err
		}
		if err := c.listener.Order(c.Pid, c.member.live, order); err != nil {
			return nil, explain(err)
		}
		conn, err := c.accept(deadline)
		switch another := c.isAnother(); {
		case another:
			c.listener.Forget()
			if err == nil {
				conn.Close()
			}
			if time.Now().After(deadline) {
				return nil, errAnother(c.Pid)
			}
		case errors.Is(err, resident.ErrSilent):
			return nil, silent(c.Pid, c.member.live, c.member.holds, patience)
		case err != nil:
			return nil, err
		default:
			return c.believe(conn)
		}
	}
}

// believe compares the PID in the resident's HELLO with the one that the kernel reports.
func (c *checkpoint) believe(conn *resident.Conn) (*resident.Conn, error) {
	status, err := proc.Read(c.Pid, "status", proc.Status)
	if inside := insidePid(status); err == nil && int(conn.Hello.Pid) != inside {
		err = fmt.Errorf("its resident says that its PID is %d, but the PID is %d", conn.Hello.Pid, inside)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("pid %d: %w", c.Pid, err)
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

// accept waits for the resident's connection. It stops waiting when the process executes another program.
func (c *checkpoint) accept(deadline time.Time) (*resident.Conn, error) {
	for {
		conn, err := c.listener.Accept(c.Pid, min(intervalOrder, time.Until(deadline)))
		if !errors.Is(err, resident.ErrSilent) || time.Now().After(deadline) || c.isAnother() {
			return conn, err
		}
	}
}

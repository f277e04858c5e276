package coord

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// The freeze signal kills a program that has no handler for it. Between a look at the handler and the signal the process
// may execute another program, so:
//
//   - A resident ignores the signal while it executes a program, and the new program begins with the signal ignored
//     (shim/exec.c). An order that comes meanwhile is dropped.
//   - A child of vfork has its parent's handler until it executes its program, perhaps not by a function of libc. Whether
//     it shares its parent's memory is looked at first and the handler afterwards: memory that is not shared stays so,
//     and the handler is then that of the program that will get the signal.
//
// What is left is a program that executes another by the system call itself, not by libc, between the look at its handler
// and the signal.

// isExpected: the freeze signal has a handler, and so does no harm.
func isExpected(status proc.StatusInfo) bool {
	return status.SigCgt&(1<<(abi.FreezeSignal-1)) != 0
}

// sharesMemory: a child of vfork, until it executes something (kcmp(2); not in every kernel).
func sharesMemory(pid, parent int) bool {
	const kcmpVM = 1
	different, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(parent), kcmpVM, 0, 0, 0)
	return errno == 0 && different == 0 && parent > 0
}

// awaitHandler waits a little for a process that ignores the freeze signal: it may be executing a program, in which the
// library's handler is not installed yet.
func awaitHandler(pid int) {
	for range 20 {
		status, err := proc.Read(pid, "status", proc.Status)
		if err != nil || status.SigIgn&(1<<(abi.FreezeSignal-1)) == 0 {
			return
		}
		time.Sleep(intervalExec)
	}
}

// mayOrder tells whether a process expects the freeze signal now.
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

// programOf tells apart the programs that a process executes one after the other, by the addresses that the kernel has
// chosen for each; "" where they may not be seen.
func programOf(pid int) string {
	auxv, err := os.ReadFile(proc.Path(pid, "auxv"))
	if err != nil {
		return ""
	}
	return string(auxv)
}

// differ tells whether two are certainly different ones. What may not be seen at first, of a program that is not dumpable,
// may be when it is frozen.
func differ(program, other string) bool { return program != "" && other != "" && program != other }

// isAnother tells whether the process executes another program than the one that was last found ready.
func (c *checkpoint) isAnother() bool { return differ(programOf(c.Pid), c.member.program) }

// errAnother: what was asked of one program cannot be had of the next.
func errAnother(pid int) error {
	return fmt.Errorf("pid %d: it has become another program, or ended, meanwhile", pid)
}

const (
	patienceExec  = time.Second           // for a new program to get ready for the freeze signal
	intervalExec  = 10 * time.Millisecond // of looking whether it is
	intervalOrder = 50 * time.Millisecond // of looking whether an order that is not answered was dropped
)

// isReady tells whether the process executes a program now that has the library in it and expects the freeze signal. The
// last look is for the program again: a static one that was executed in between might have a handler of glibc's, and then
// execute a third without ours.
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

// awaitReady waits for a process that executes a program.
func (c *checkpoint) awaitReady() error {
	for deadline := time.Now().Add(patienceExec); ; {
		ready, err := c.isReady()
		switch {
		case ready:
			return nil
		case err != nil || time.Now().After(deadline):
			return errAnother(c.Pid)
		}
		select {
		case <-c.Context.Done():
			return c.Context.Err()
		case <-time.After(intervalExec):
		}
	}
}

// order has a program connect to the listener. Where the process executes another program meanwhile, the order is lost: to
// be asked who it is the new program is sent it again, to be frozen it is not.
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
		case err == nil && another:
			conn.Close()
		case !another && errors.Is(err, resident.ErrSilent):
			return nil, silent(c.Pid, c.member.live, c.member.holds, patience)
		case !another && err != nil:
			return nil, err
		case !another:
			return c.believe(conn)
		}
	}
}

// believe compares what a resident says of its process with what the kernel does.
func (c *checkpoint) believe(conn *resident.Conn) (*resident.Conn, error) {
	status, err := proc.Read(c.Pid, "status", proc.Status)
	if inside := insidePid(status); err == nil && int(conn.Hello.Pid) != inside {
		err = fmt.Errorf("its resident says that its PID is %d, which is %d", conn.Hello.Pid, inside)
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

// accept waits for the program to connect. It gives up when the process executes another one.
func (c *checkpoint) accept(deadline time.Time) (*resident.Conn, error) {
	for {
		conn, err := c.listener.Accept(c.Pid, min(intervalOrder, time.Until(deadline)))
		if !errors.Is(err, resident.ErrSilent) || time.Now().After(deadline) || c.isAnother() {
			return conn, err
		}
	}
}

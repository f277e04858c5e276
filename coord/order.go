package coord

import (
	"context"
	"errors"
	"fmt"
	"time"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// An order can be lost. The writer then sends it again. This happens
//
//   - if the program executes another one before it has taken the order;
//   - if the order arrives while an exec function of libc has the signal ignored, and the call then fails;
//   - if the order arrives when the program has just created its first thread: glibc then installs a handler of its own, and the resident
//     installs its handler again a moment later (shim/pthread.c).

const (
	intervalOrder = 50 * time.Millisecond  // between two checks whether an unanswered order was dropped, at most
	intervalAgain = 500 * time.Millisecond // after an order that is not pending and not answered, before it is sent again
)

// isAnother tells whether the process has executed another program since isReady was last true.
func (m *member) isAnother() bool { return differ(programOf(m.pid), m.program) }

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
	for deadline := time.Now().Add(timeoutExec); ; wait = min(2*wait, intervalExec) {
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
func (m *member) order(ctx context.Context, order int32, timeout time.Duration) (conn *resident.Conn, err error) {
	listened := m.listener != nil // then disconnect closes it, when nobody is frozen any more
	if err := m.listen(); err != nil {
		return nil, err
	}
	defer func() {
		if !listened || err != nil {
			m.closeListener()
		}
	}()
	listener := m.listener
	if listener.Early = nil; order == abi.OrderFreeze {
		listener.Early = m.early
	}
	defer context.AfterFunc(ctx, listener.Interrupt)()
	surveyed := m.program
	m.processor = processorTime{}
	for deadline := time.Now().Add(timeout); ; {
		queried := order != abi.OrderQuery && m.key.Holds(m.pid)
		if !queried {
			if err := m.awaitOrder(order, surveyed); err != nil {
				return nil, err
			}
		}
		if err := listener.Order(m.pid, m.live, order); err != nil {
			return nil, explain(err)
		}
		old := m.key.IsOld()
		conn, err := m.accept(listener, order, deadline)
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
		case errors.Is(err, resident.ErrRefused) && old:
			m.key.Forget() // the secret is that of a program which the process has executed before
		case errors.Is(err, resident.ErrNoAnswer) && time.Now().Before(deadline):
			// The order seems to be lost. If it is not, a resident that has answered it finds no listener when it takes it again.
		case errors.Is(err, resident.ErrNoAnswer) && m.processor.starves():
			deadline = time.Now().Add(intervalAgain)
		case errors.Is(err, resident.ErrNoAnswer):
			return nil, noAnswer(m.pid, m.live, m.holds, timeout)
		case err != nil:
			return nil, err
		default:
			return m.checkPid(conn)
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

// checkPid compares the PID in the resident's HELLO with the one that the kernel reports.
func (m *member) checkPid(conn *resident.Conn) (*resident.Conn, error) {
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
// pending and has not been answered for intervalAgain. If another process stops this one meanwhile, accept traces it.
func (m *member) accept(listener *resident.Listener, order int32, deadline time.Time) (*resident.Conn, error) {
	sent := time.Now()
	for wait := 10 * firstLook; ; wait = min(2*wait, intervalOrder) { // most residents connect within it
		conn, err := listener.Accept(m.pid, min(wait, time.Until(deadline)))
		if m.processor.at.IsZero() && errors.Is(err, resident.ErrNoAnswer) {
			m.processor = m.processorTime() // not before: most residents answer within the first wait, and a frozen group waits for each read
			if enough := m.processor.at.Add(intervalAgain); deadline.Before(enough) {
				deadline = enough
			}
		}
		switch {
		case !errors.Is(err, resident.ErrNoAnswer), time.Now().After(deadline), !m.key.Holds(m.pid) && m.isAnother():
			return conn, err
		case time.Since(sent) > intervalAgain && !m.hasOrder():
			return nil, err
		}
		if err := m.traceStopped(order); err != nil {
			return nil, err
		}
	}
}

// hasOrder tells whether an order is pending for the thread to which the writer sends orders.
func (m *member) hasOrder() bool {
	status, err := proc.Read(m.pid, fmt.Sprintf("task/%d/status", m.live), proc.Status)
	return err == nil && status.SigPnd&(1<<(abi.FreezeSignal-1)) != 0
}

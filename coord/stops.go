package coord

import (
	"errors"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/tracer"
)

// While the writer looks for the members and freezes them, one of them may stop or continue another one (SIGSTOP, SIGCONT). No handler can
// block SIGSTOP. So a member can be stopped
//
//   - before it takes an order: then the writer traces it from now on, as one that was stopped before;
//   - inside the handler: then the resident does not answer, or package dump finds the state. That is an obstacle that may pass;
//   - while it is traced, or not any more: then the last event of the tracer says so, when nobody runs who could change it.

// isStopped tells whether a member is stopped that the writer does not trace.
func (m *member) isStopped() bool {
	if m.tracer != nil {
		return false
	}
	stat, err := proc.Read(m.live, "stat", proc.Stat)
	return err == nil && stat.State == 'T'
}

// traceStopped begins to trace a member that was stopped before it has taken an order.
func (m *member) traceStopped(order int32) error {
	if !m.isStopped() {
		return nil
	}
	t, err := tracer.Stopped(m.pid)
	if err != nil {
		return obstacle.List{stopped(m.pid, err)}
	}
	if t.By() == 0 { // it runs again
		t.Close()
		return nil
	}
	if m.tracer = t; order == abi.OrderFreeze {
		t.Run()
	}
	return nil
}

// explainStop makes an obstacle of the error that a member was stopped inside the handler.
func explainStop(err error) error {
	var pid resident.StoppedError
	if errors.As(err, &pid) {
		return obstacle.List{stopped(int(pid), tracer.ErrHandling)}
	}
	return err
}

// settleStop finds out whether a frozen member that is traced is stopped. Preconditions: all members are frozen.
func (m *member) settleStop() error {
	if m.tracer == nil {
		return nil
	}
	err := m.tracer.Update(m.live)
	m.dump.StoppedBy = m.tracer.By()
	return err
}

package fd

import (
	"fmt"

	"crak.dev/crak/internal/abi"
)

// A callList is a list of system calls for an initiator, with the data that they read and write. The initiator carries out the whole
// list, even if the writer is killed meanwhile.
type callList struct {
	calls []abi.Call
	data  []byte
}

// call adds a call, and returns its index. relative has abi.Data, abi.Value and abi.Result of the arguments.
func (l *callList) call(number uint32, relative uint32, args ...uint64) int {
	c := abi.Call{Number: number, Relative: relative}
	copy(c.Args[:], args)
	l.calls = append(l.calls, c)
	return len(l.calls) - 1
}

// put adds data, and returns its offset, a multiple of 8.
func (l *callList) put(data []byte) uint64 {
	for len(l.data)%8 != 0 {
		l.data = append(l.data, 0)
	}
	l.data = append(l.data, data...)
	return uint64(len(l.data) - len(data))
}

// run has the initiator of a member make the calls, and returns their results.
func (l *callList) run(m *Member) ([]int64, error) { return l.runBy(m.Calls) }

// runBy is run for a function such as Member.Calls.
func (l *callList) runBy(make func([]abi.Call, []byte) ([]int64, error)) ([]int64, error) {
	if len(l.calls) > abi.CallsMax || len(l.data) > abi.DataMax {
		return nil, fmt.Errorf("%d calls, %d bytes", len(l.calls), len(l.data))
	}
	results, err := make(l.calls, l.data)
	if err == nil && len(results) != len(l.calls) {
		err = fmt.Errorf("%d results for %d calls", len(results), len(l.calls))
	}
	return results, err
}

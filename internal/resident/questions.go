package resident

import (
	"fmt"

	"crak.dev/crak/internal/abi"
)

// Questions collects system calls for the initiator, so that one exchange is enough for all of them. The zero value is
// ready to use.
type Questions struct {
	calls []abi.Call
	spans [][2]int // start and end of each call's bytes in data
	with  []int    // first of the calls that share the call's buffer: the call itself, or one before it
	got   []func(result int64, data []byte)
	data  []byte
}

// Ask adds a call. Arguments whose bit is set in call.Relative are offsets into buffer. Ask copies the
// buffer. got receives the result, which is -errno if the call failed, and the buffer as the call has changed it.
func (q *Questions) Ask(call abi.Call, buffer []byte, got func(result int64, data []byte)) {
	span := [2]int{len(q.data), len(q.data) + len(buffer)}
	q.data = append(q.data, buffer...)
	for len(q.data)%8 != 0 {
		q.data = append(q.data, 0)
	}
	q.add(call, span, len(q.calls), got)
}

// AskAgain adds a call that works on the buffer of the call before it, as that call has left it. One message has both. It
// panics if no call comes before it.
func (q *Questions) AskAgain(call abi.Call, got func(result int64, data []byte)) {
	last := len(q.calls) - 1
	q.add(call, q.spans[last], q.with[last], got)
}

func (q *Questions) add(call abi.Call, span [2]int, with int, got func(result int64, data []byte)) {
	for i := range call.Args {
		if call.Relative&(1<<i) != 0 {
			call.Args[i] += uint64(span[0])
		}
	}
	q.calls = append(q.calls, call)
	q.spans = append(q.spans, span)
	q.with = append(q.with, with)
	q.got = append(q.got, got)
}

// Value adds a call without pointers.
func (q *Questions) Value(number uint32, args [6]uint64, got func(result int64)) {
	q.Ask(abi.Call{Number: number, Args: args}, nil, func(result int64, _ []byte) { got(result) })
}

// Put makes all calls, as many in one message as it can hold, and passes each result to its function got, in order.
func (q *Questions) Put(calls func([]abi.Call, []byte) ([]int64, error)) error {
	asked := *q
	*q = Questions{}
	for start := 0; start < len(asked.calls); {
		end, from := start, asked.spans[start][0]
		for end < len(asked.calls) && end-start < abi.CallsMax && asked.spans[end][1]-from <= abi.DataMax {
			end++
		}
		if end < len(asked.calls) && asked.with[end] > start {
			end = asked.with[end] // calls that share a buffer stay together
		}
		if end == start {
			return fmt.Errorf("a call with %d bytes of data is too large for a message", asked.spans[start][1]-from)
		}
		if err := asked.exchange(calls, start, end); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// exchange makes the calls [start, end) with one message.
func (q *Questions) exchange(do func([]abi.Call, []byte) ([]int64, error), start, end int) error {
	from, to := q.spans[start][0], q.spans[end-1][1]
	calls := q.calls[start:end]
	for i := range calls {
		for a := range calls[i].Args {
			if calls[i].Relative&(1<<a) != 0 {
				calls[i].Args[a] -= uint64(from)
			}
		}
	}
	results, err := do(calls, q.data[from:to])
	if err != nil {
		return err
	}
	q.pass(start, results)
	return nil
}

// pass passes the results of the calls from start on to their functions got.
func (q *Questions) pass(start int, results []int64) {
	for i, result := range results {
		s := q.spans[start+i]
		q.got[start+i](result, q.data[s[0]:s[1]])
	}
}

// IsShort tells whether one message can hold all calls.
func (q *Questions) IsShort() bool { return len(q.calls) <= abi.CallsMax && len(q.data) <= abi.DataMax }

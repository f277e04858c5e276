package fd

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// questions are system calls that the leader of a frozen member is to make, put together so that there
// is one exchange for all of them.
type questions struct {
	calls []abi.Call
	spans [][2]int // of each call's own bytes in data
	got   []func(result int64, data []byte)
	data  []byte
}

// ask adds one call. Arguments whose bit is set in call.Relative are offsets into buffer, whose content is
// copied; got receives the result and the buffer as the call left it.
func (q *questions) ask(call abi.Call, buffer []byte, got func(result int64, data []byte)) {
	start := len(q.data)
	for i := range call.Args {
		if call.Relative&(1<<i) != 0 {
			call.Args[i] += uint64(start)
		}
	}
	q.data = append(q.data, buffer...)
	q.spans = append(q.spans, [2]int{start, len(q.data)})
	for len(q.data)%8 != 0 {
		q.data = append(q.data, 0)
	}
	q.calls = append(q.calls, call)
	q.got = append(q.got, got)
}

// fcntl asks for fcntl(fd, command, argument).
func (q *questions) fcntl(fd, command int, argument uint64, got func(int64)) {
	call := abi.Call{Number: unix.SYS_FCNTL, Args: [6]uint64{uint64(fd), uint64(command), argument}}
	q.ask(call, nil, func(result int64, _ []byte) { got(result) })
}

// ioctl asks for ioctl(fd, request, buffer) with a buffer of that many bytes.
func (q *questions) ioctl(fd int, request uint64, size int, got func(int64, []byte)) {
	call := abi.Call{Number: unix.SYS_IOCTL, Relative: 1 << 2, Args: [6]uint64{uint64(fd), request}}
	q.ask(call, make([]byte, size), got)
}

// put has the leader make all calls, as many at once as a message takes, and hands out the answers in order.
// Without a leader nobody answers.
func (q *questions) put(m *Member) error {
	asked := *q
	*q = questions{}
	if m.Calls == nil {
		return nil
	}
	for start := 0; start < len(asked.calls); {
		end, from := start, asked.spans[start][0]
		for end < len(asked.calls) && end-start < abi.CallsMax && asked.spans[end][1]-from <= abi.DataMax {
			end++
		}
		if err := asked.exchange(m, start, end); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// exchange puts the calls [start, end) in one message.
func (q *questions) exchange(m *Member, start, end int) error {
	from, to := q.spans[start][0], q.spans[end-1][1]
	calls := q.calls[start:end]
	for i := range calls {
		for a := range calls[i].Args {
			if calls[i].Relative&(1<<a) != 0 {
				calls[i].Args[a] -= uint64(from)
			}
		}
	}
	results, err := m.Calls(calls, q.data[from:to])
	if err != nil {
		return err
	}
	for i, result := range results {
		s := q.spans[start+i]
		q.got[start+i](result, q.data[s[0]:s[1]])
	}
	return nil
}

package fd

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/restore/program"
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

// receive adds the calls that receive descriptors from the writer (Member.Give). It returns the index of the call whose result is the first
// one's number; those of the others follow. address is that of the initiator's copy of the data. recvmsg(2) gives descriptors the
// lowest free numbers, and does not return these. F_DUPFD returns the lowest free number.
func (l *callList) receive(wire int, address uint64, count int) int {
	const readable = 1 // POLLIN
	socket, pointer := uint64(wire), func(at uint64) uint64 { return address + at }
	first := len(l.calls)
	for range count {
		l.call(unix.SYS_FCNTL, 0, socket, unix.F_DUPFD_CLOEXEC, 0)
	}
	for i := range count {
		l.call(unix.SYS_CLOSE, abi.Result(0), uint64(first+i))
	}
	l.call(unix.SYS_POLL, abi.Data(0), l.put(program.Raw([2]uint32{uint32(wire), readable})), 1, 1000)
	vector := l.put(program.Raw([2]uint64{pointer(l.put(make([]byte, 8))), 1}))
	control := l.put(make([]byte, unix.CmsgSpace(4*count)))
	message := l.put(program.Raw([7]uint64{2: pointer(vector), 3: 1, 4: pointer(control), 5: uint64(unix.CmsgSpace(4 * count))}))
	l.call(unix.SYS_RECVMSG, abi.Data(1), socket, message, unix.MSG_CMSG_CLOEXEC)
	return first
}

// copyMemory adds a call that copies memory of the member. No other system call copies memory of the process without a descriptor. The
// results are the index of the call, and the offset of the struct iovec that says from where.
func (l *callList) copyMemory(m *Member, to, from uint64, length int) (index int, source uint64) {
	local := l.put(program.Raw([2]uint64{to, uint64(length)}))
	source = l.put(program.Raw([2]uint64{from, uint64(length)}))
	return l.call(unix.SYS_PROCESS_VM_READV, abi.Data(1)|abi.Data(3), uint64(m.Inside), local, 1, source, 1, 0), source
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

package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/retry"
	"crak.dev/crak/restore/program"
)

// failed is the error of a system call of the initiator, or nil.
func failed(call string, result int64) error {
	if result < 0 && result > -4096 {
		return fmt.Errorf("%s: %w", call, unix.Errno(-result))
	}
	return nil
}

// copyCall copies 8 bytes of the data to another offset. No other system call copies memory of the process without a descriptor.
func (x *queueExchange) copyCall(from, to uint64) int {
	iovec := func(at uint64) uint64 { return x.put(program.Raw([2]uint64{x.address + at, 8})) }
	local, remote := iovec(to), iovec(from)
	pid := uint64(x.member.Inside)
	return x.call(unix.SYS_PROCESS_VM_READV, abi.Data(1)|abi.Data(3), pid, local, 1, remote, 1, 0)
}

// rehearse makes sure that the initiator will get the signal of a notification, and can copy its value.
func (x *queueExchange) rehearse() error {
	pending := x.put(make([]byte, 8))
	x.call(unix.SYS_RT_SIGPENDING, abi.Data(0), pending, 8)
	x.copyCall(pending, x.put(make([]byte, 8)))
	results, err := x.run(x.member)
	if err != nil {
		return err
	}
	signals := binary.NativeEndian.Uint64(x.data[pending:])
	x.callList = callList{}
	return errors.Join(failed("rt_sigpending", results[0]), failed("process_vm_readv", results[1]), x.from.checkSignal(signals))
}

// positions are the indexes of calls in the list, or -1, and offsets in the data.
type positions struct {
	opened, first, back, taken, got, again int
	priorities, info, cookie               uint64
}

// exchange takes the messages out and puts them back. The i-th message is then in the room at i times the largest size.
func (x *queueExchange) exchange() ([]QueuedMessage, error) {
	at := x.list()
	results, err := x.makeAll()
	if err != nil {
		return nil, err
	}
	if at.opened >= 0 && results[at.opened] < 0 {
		return nil, fmt.Errorf("its messages cannot be taken out: %w", failed("no descriptor of it", results[at.opened]))
	}
	var all []QueuedMessage
	n := int(x.limits.present)
	for i := range n {
		size, back := results[at.first+i], results[at.back+i]
		one := QueuedMessage{int(size), binary.NativeEndian.Uint32(x.data[at.priorities+4*uint64(i):])}
		switch {
		case size < 0:
			return nil, fmt.Errorf("message %d of %d cannot be taken out: %w", i+1, n, unix.Errno(-size))
		case size > x.limits.size || one.Priority > priorityMost:
			return nil, fmt.Errorf("message %d of %d has %d bytes and priority %d", i+1, n, size, one.Priority)
		case back < 0:
			return nil, fmt.Errorf("message %d of %d cannot be put back: %w", i+1, n, unix.Errno(-back))
		}
		all = append(all, one)
	}
	return all, x.notification(at, results)
}

// list makes the list of calls.
func (x *queueExchange) list() positions {
	at := positions{opened: -1, taken: -1, got: -1, again: -1}
	size, n := uint64(x.limits.size), int(x.limits.present)
	none := x.put(make([]byte, 16)) // a time that is over, so that no call waits
	at.priorities = x.put(make([]byte, 4*x.messages()))
	queue, relative := uint64(x.fd), uint32(0)
	switch {
	case x.fd < 0:
		at.opened = x.receiveQueue()
	case !x.both:
		path := fmt.Sprintf("/proc/self/fd/%d\x00", x.fd)
		at.opened = x.call(unix.SYS_OPEN, abi.Data(0), x.put([]byte(path)), unix.O_RDWR|unix.O_CLOEXEC)
	}
	if at.opened >= 0 {
		queue, relative = uint64(at.opened), abi.Result(0)
	}
	receive := func(i int) {
		x.call(unix.SYS_MQ_TIMEDRECEIVE, relative|abi.Data(3)|abi.Data(4), queue, x.room+uint64(i)*size, size, at.priorities+4*uint64(i), none)
	}
	if x.from != nil && !x.from.bySignal() {
		x.call(unix.SYS_MQ_NOTIFY, 0, uint64(x.fd), 0)
	}
	if x.from.byThread() {
		at.cookie = x.put(make([]byte, cookieSize))
		at.got = x.call(unix.SYS_RECVFROM, abi.Data(1), uint64(x.from.number), at.cookie, cookieSize, unix.MSG_DONTWAIT)
	}
	at.first = len(x.calls)
	for i := range n {
		receive(i)
	}
	at.back = len(x.calls)
	for i := range n {
		x.call(unix.SYS_MQ_TIMEDSEND, relative|abi.Result(2)|abi.Value(3)|abi.Data(4),
			queue, x.room+uint64(i)*size, uint64(at.first+i), at.priorities+4*uint64(i), none)
	}
	if x.from.bySignal() {
		if n == 0 {
			x.call(unix.SYS_MQ_TIMEDSEND, relative|abi.Data(4), queue, x.room, 0, 0, none)
		}
		at.info = x.put(make([]byte, 128))
		set := x.put(program.Raw(uint64(1) << (x.from.Signal - 1)))
		at.taken = x.call(unix.SYS_RT_SIGTIMEDWAIT, abi.Data(0)|abi.Data(1)|abi.Data(2), set, at.info, none, 8)
		if n == 0 {
			receive(0)
		}
	}
	if at.opened >= 0 {
		x.call(unix.SYS_CLOSE, abi.Result(0), uint64(at.opened)) // this ends a notification of the process, too
	}
	if x.from != nil {
		at.again = x.askAgain(at.info, at.cookie)
	}
	return at
}

// notification fills in what the initiator has learned about the notification.
func (x *queueExchange) notification(at positions, results []int64) error {
	switch {
	case at.again < 0:
		return nil
	case results[at.again] < 0:
		return fmt.Errorf("the notification of its next message is lost, because the process could not ask for it again: %w", failed("mq_notify", results[at.again]))
	case at.taken >= 0:
		return x.from.signalled(results[at.taken], x.data[at.info:])
	case at.got >= 0 && results[at.got] != cookieSize:
		return fmt.Errorf("the notification of its next message by a thread is lost: %d bytes in place of %d", results[at.got], cookieSize)
	case at.got >= 0:
		x.from.Cookie = slices.Clone(x.data[at.cookie : at.cookie+cookieSize])
		x.from.Cookie[cookieSize-1] = 0
	}
	return nil
}

// receiveQueue adds the calls that receive a descriptor from the writer. recvmsg(2) gives it the lowest free number, and does not return this
// number. F_DUPFD returns the lowest free number.
func (x *queueExchange) receiveQueue() int {
	const readable = 1 // POLLIN
	wire, pointer := uint64(x.member.Wire), func(at uint64) uint64 { return x.address + at }
	number := x.call(unix.SYS_FCNTL, 0, wire, unix.F_DUPFD_CLOEXEC, 0)
	x.call(unix.SYS_CLOSE, abi.Result(0), uint64(number))
	x.call(unix.SYS_POLL, abi.Data(0), x.put(program.Raw([2]uint32{uint32(wire), readable})), 1, 1000)
	vector := x.put(program.Raw([2]uint64{pointer(x.put(make([]byte, 8))), 1}))
	control := x.put(make([]byte, unix.CmsgSpace(4)))
	message := x.put(program.Raw([7]uint64{2: pointer(vector), 3: 1, 4: pointer(control), 5: uint64(unix.CmsgSpace(4))}))
	x.call(unix.SYS_RECVMSG, abi.Data(1), wire, message, unix.MSG_CMSG_CLOEXEC)
	return number
}

// makeAll has the initiator make all calls.
func (x *queueExchange) makeAll() ([]int64, error) {
	if x.fd >= 0 {
		return x.run(x.member)
	}
	file, err := retry.Open(fmt.Sprintf("/proc/self/fd/%d", x.o.fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("its messages cannot be taken out: open: %w", err)
	}
	defer unix.Close(file)
	return x.runBy(func(calls []abi.Call, data []byte) ([]int64, error) { return x.member.Give(file, calls, data) })
}

// askAgain adds the calls by which the process asks for its notification again: with the value of the signal that it has got, or with the
// C library's 32 bytes.
func (x *queueExchange) askAgain(info, cookie uint64) int {
	want := event{signal: x.from.Signal, how: x.from.How}
	if x.from.byThread() {
		want.value, want.signal = x.address+cookie, int32(x.from.number)
	}
	at := x.put(program.Raw(want))
	if x.from.bySignal() {
		x.copyCall(info+valueOffset, at)
	}
	return x.call(unix.SYS_MQ_NOTIFY, abi.Data(1), uint64(x.fd), at)
}

// readMemory reads memory of a process (process_vm_readv(2)).
func readMemory(pid int, at uint64, to []byte) error {
	local := []unix.Iovec{{Base: &to[0], Len: uint64(len(to))}}
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(to)}}, 0)
	if err == nil && n != len(to) {
		err = fmt.Errorf("%d bytes of %d", n, len(to))
	}
	return os.NewSyscallError("process_vm_readv", err)
}

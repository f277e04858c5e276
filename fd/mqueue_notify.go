package fd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/program"
)

// A process can ask for a notification of the next message in an empty queue (mq_notify(3)). The kernel shows which process, how, and by
// which signal. It does not show the value that comes with the signal, nor what the C library gets for a notification by a thread
// (SIGEV_THREAD). So the initiator of this process takes the notification out and asks for it again, in one list of system calls
// (mqueue_exchange.go):
//
//   - It takes a signal by having it sent: it puts a message into the empty queue. All threads block all signals during a freeze, so the
//     initiator can take the signal by rt_sigtimedwait(2).
//   - It takes a notification by a thread by giving it up: the kernel then sends the C library's 32 bytes to the C library's netlink
//     socket. The initiator receives them there.

// QueueOpen is the record of a description of a POSIX message queue. It is there only if a process has asked for a notification.
type QueueOpen struct {
	Notify *QueueNotification `json:"notify"`
}

// QueueNotification is a notification that a process has asked for. The process has the description.
type QueueNotification struct {
	Process image.Pid           `json:"process"`
	How     int32               `json:"how,omitempty"` // SIGEV_SIGNAL (0), SIGEV_NONE, SIGEV_THREAD
	Signal  int32               `json:"signal,omitempty"`
	Value   uint64              `json:"value,omitempty"`
	Cookie  []byte              `json:"cookie,omitempty"` // of SIGEV_THREAD: what the C library gets
	Socket  image.DescriptionID `json:"socket,omitempty"` // of SIGEV_THREAD: the netlink socket on which it gets that
}

const (
	notifySignal = 0 // SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD of asm-generic/siginfo.h
	notifyNone   = 1
	notifyThread = 2
	cookieSize   = 32 // NOTIFY_COOKIE_LEN of linux/mqueue.h; the last byte is the kernel's
	signalMost   = 64 // _NSIG
)

// An asker is a process that has asked for a notification, and what it needs to ask again.
type asker struct {
	QueueNotification
	member  *Member
	through *open // its description of the queue
	fd      int   // its descriptor of that
	socket  *open // of SIGEV_THREAD
	number  int   // its descriptor of the socket
}

// queueText reads what the kernel shows of a notification: which process has asked, how, and for which signal. pid is 0 if none has asked.
func queueText(queue int) (pid int, n QueueNotification, err error) {
	var text [200]byte
	size, err := unix.Pread(queue, text[:], 0)
	if err != nil {
		return 0, n, fmt.Errorf("read: %w", err)
	}
	found := 0
	for word := range bytes.FieldsSeq(text[:max(size, 0)]) {
		key, value, _ := strings.Cut(string(word), ":")
		number, err := strconv.Atoi(value)
		if err != nil {
			continue
		}
		switch key {
		case "NOTIFY":
			n.How = int32(number)
		case "SIGNO":
			n.Signal = int32(number)
		case "NOTIFY_PID":
			pid = number
		default:
			continue
		}
		found++
	}
	if found != 3 {
		return 0, n, fmt.Errorf("%q: does not say who waits for a message", text[:max(size, 0)])
	}
	return pid, n, nil
}

// askerOf finds the process that has asked for a notification of a queue. It returns nil if there is none.
func (c *capture) askerOf(o *open, queue int) (*asker, error) {
	pid, n, err := queueText(queue)
	if err != nil || pid == 0 {
		return nil, err
	}
	for _, d := range c.members {
		if d.member.Pid != pid {
			continue
		}
		for _, s := range d.all {
			if s.of.inode() != o.inode() || !isQueue(s.of) {
				continue
			}
			n.Process = image.Pid(d.member.Inside)
			a := &asker{QueueNotification: n, member: d.member, through: s.of, fd: s.fd}
			if n.How == notifyThread {
				err = a.findSocket(d)
			}
			return a, err
		}
	}
	return nil, fmt.Errorf("%s has asked for a notification of its next message (mq_notify(3)), and does not belong to the program", processName(pid))
}

// findSocket finds the C library's netlink socket. It is of NETLINK_ROUTE, and bound to no port.
func (a *asker) findSocket(d *Descriptors) error {
	bound, err := boundNetlink()
	if err != nil {
		return err
	}
	for _, s := range d.all {
		if s.of.protocol != "NETLINK" || bound[s.of.stat.Ino] || s.of == a.socket {
			continue
		}
		if a.socket != nil {
			return errors.New("a process has asked for a notification by a thread (SIGEV_THREAD), and has several netlink sockets without a port: " +
				"the kernel does not show which one is used")
		}
		a.socket, a.number = s.of, s.fd
	}
	if a.socket == nil {
		return errors.New("a process has asked for a notification by a thread (SIGEV_THREAD), and has closed the netlink socket for it")
	}
	return nil
}

// boundNetlink are the inodes of the netlink sockets that have a port.
func boundNetlink() (map[uint64]bool, error) {
	text, err := proc.ReadFile("/proc/thread-self/net/netlink")
	bound := make(map[uint64]bool)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 0 {
			if inode, err := strconv.ParseUint(f[len(f)-1], 10, 64); err == nil {
				bound[inode] = true
			}
		}
	}
	return bound, err
}

// bySignal tells whether the kernel sends a signal. It sends none for the number 0.
func (a *asker) bySignal() bool { return a != nil && a.How == notifySignal && a.Signal != 0 }

// byThread tells whether the C library gets 32 bytes.
func (a *asker) byThread() bool { return a != nil && a.How == notifyThread }

// checkSignal makes sure that the initiator gets the signal of the notification, and no other one with the same number. pending are the
// signals that the initiator could take now.
func (a *asker) checkSignal(pending uint64) error {
	status, err := proc.Read(a.member.live(), "status", proc.Status)
	leader, err2 := proc.Read(a.member.Pid, "status", proc.Status)
	bit := uint64(1) << (a.Signal - 1)
	switch {
	case err != nil || err2 != nil:
		return errors.Join(err, err2)
	case (pending|status.ShdPnd)&bit != 0:
		return passing(fmt.Sprintf("a process has asked for a notification of its next message by signal %d, and such a signal waits for the process already", a.Signal))
	case leader.SigBlk&bit == 0:
		return fmt.Errorf("a process has asked for a notification of its next message by signal %d, which cannot be blocked or whose main thread has ended", a.Signal)
	case status.SigQ >= status.SigLimit:
		return fmt.Errorf("a process has asked for a notification of its next message by a signal, and its user has %d signals queued, "+
			"of %d that are allowed (RLIMIT_SIGPENDING)", status.SigQ, status.SigLimit)
	}
	return nil
}

// valueOffset is the offset of si_value in siginfo_t.
const valueOffset = 24

// signalled looks at the signal that the initiator has got.
func (a *asker) signalled(result int64, info []byte) error {
	n := binary.NativeEndian
	code, pid := int32(n.Uint32(info[8:])), int(n.Uint32(info[16:]))
	const mesgq = -3 // SI_MESGQ
	if result != int64(a.Signal) || code != mesgq || pid != a.member.Inside {
		return fmt.Errorf("the notification of its next message is lost: signal %d, with code %d of process %d, came in place of signal %d",
			result, code, pid, a.Signal)
	}
	a.Value = n.Uint64(info[valueOffset:])
	return nil
}

// event is struct sigevent (64 bytes).
type event struct {
	value       uint64
	signal, how int32
	_           [48]byte
}

func queueOpen(d image.Description) (*QueueNotification, error) {
	if len(d.Record) == 0 {
		return nil, nil
	}
	r, err := record[QueueOpen](d)
	if err != nil {
		return nil, err
	}
	n := r.Notify
	switch {
	case n == nil || n.Process <= 0:
		err = fmt.Errorf("description %d: a notification without a process", d.ID)
	case n.How < notifySignal || n.How > notifyThread || n.Signal < 0 || n.Signal > signalMost:
		err = fmt.Errorf("description %d: notification %d by signal %d", d.ID, n.How, n.Signal)
	case n.How != notifySignal && (n.Signal != 0 || n.Value != 0), (n.How == notifyThread) != (len(n.Cookie) == cookieSize && n.Socket != 0),
		n.How != notifyThread && (len(n.Cookie) != 0 || n.Socket != 0):
		err = fmt.Errorf("description %d: notification %d with what another one has", d.ID, n.How)
	}
	return n, err
}

// attachQueue has the process ask for the notification when everything else has succeeded: messages that a restart puts into the queue
// cause none, and a descriptor of the queue that the process closes would end it.
func attachQueue(d image.Description, a *Attach) error {
	n, err := queueOpen(d)
	if err != nil || n == nil || n.Process != a.Member.Pid || len(a.Descriptors) == 0 {
		return err
	}
	queue, want := program.Const(a.Descriptors[0].Fd), event{value: n.Value, signal: n.Signal, how: n.How}
	if n.How == notifyThread {
		socket := -1
		for number, of := range a.Numbers {
			if of.Description == n.Socket && (socket < 0 || number < socket) {
				socket = number
			}
		}
		if socket < 0 {
			return fmt.Errorf("description %d: process %d does not have the netlink socket for its notification", d.ID, n.Process)
		}
		want.signal = int32(socket)
	}
	at := a.Set.Variable(program.Raw(want))
	if n.How == notifyThread {
		a.Set.Point(at, a.Set.Bytes(n.Cookie))
	}
	a.AtGo(func() { a.Call(unix.SYS_MQ_NOTIFY, queue, at) })
	return nil
}

// checkFree makes sure that no process has asked for a notification now: the queue allows one.
func (q *madeQueue) checkFree() error {
	pid, _, err := queueText(int(q.file.Fd()))
	if err == nil && pid != 0 && pid != os.Getpid() {
		err = fmt.Errorf("%s has asked for a notification of its next message (mq_notify(3)), so the program cannot have its own again", processName(pid))
	}
	return err
}

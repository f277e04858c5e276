package fd

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/program"
)

// Timerfd is the record of a timerfd (timerfd_create(2)). A timer that was set to an absolute time comes back with the same
// absolute time, of the clock as the program reads it. Another timer gets the time that was left.
type Timerfd struct {
	Clock      int32  `json:"clock"`
	Flags      int    `json:"flags,omitempty"` // of timerfd_settime(2): TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET
	ValueNs    int64  `json:"value_ns"`        // until the next expiration, or its time on the clock; 0: disarmed
	IntervalNs int64  `json:"interval_ns"`     //
	Ticks      uint64 `json:"ticks,omitempty"` // expirations that were not read
}

const (
	timerAbsolute    = 1 << 0                 // TFD_TIMER_ABSTIME of linux/timerfd.h
	timerCancelOnSet = 1 << 1                 // TFD_TIMER_CANCEL_ON_SET
	timerSetTicks    = 1<<30 | 8<<16 | 'T'<<8 // TFD_IOC_SET_TICKS, with CONFIG_CHECKPOINT_RESTORE
	timerfdSize      = 32                     // of struct itimerspec
	timerLate        = time.Millisecond       // an interrupt of a timer takes microseconds; a virtual processor may stand still longer
	timerTickMost    = 20 * time.Millisecond  // a clock's resolution is at most a tick, 10 ms with CONFIG_HZ=100
	lookQuick        = 200 * time.Microsecond // reading fdinfo takes tens of microseconds
)

var timerfd = kind{
	name:    "timerfd",
	is:      func(o *open) bool { return o.link == "anon_inode:[timerfd]" },
	capture: captureTimerfd,
	describe: func(d image.Description) string {
		r, _ := record[Timerfd](d)
		switch {
		case r.ValueNs == 0:
			return fmt.Sprintf("timerfd, clock %d, disarmed, %d ticks", r.Clock, r.Ticks)
		case r.Flags&timerAbsolute != 0:
			return fmt.Sprintf("timerfd, clock %d, at %v, every %v, %d ticks", r.Clock, time.Duration(r.ValueNs), time.Duration(r.IntervalNs), r.Ticks)
		}
		return fmt.Sprintf("timerfd, clock %d, %v left, every %v, %d ticks", r.Clock, time.Duration(r.ValueNs), time.Duration(r.IntervalNs), r.Ticks)
	},
	check: func(d image.Description, env *Env) obstacle.List {
		r, err := timerRecord(d)
		if err != nil {
			return broken(err)
		}
		f, err := r.make()
		if err != nil {
			return obstacle.List{{What: "timerfd", Why: err.Error(), Do: "restart with CAP_WAKE_ALARM, if its clock is an alarm clock"}}
		}
		defer f.Close()
		zero := uint64(0) // 0 ticks are EINVAL where the kernel has this call
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), timerSetTicks, uintptr(unsafe.Pointer(&zero)))
		if r.Ticks > 0 && errno != unix.EINVAL {
			return obstacle.List{{What: "timerfd", Why: "has expired, and this kernel cannot set that: it has no CONFIG_CHECKPOINT_RESTORE",
				Do: "restart under a kernel that has it"}}
		}
		return nil
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := timerRecord(d)
		if err != nil {
			return nil, err
		}
		return r.make()
	},
	attach: attachTimerfd,
}

// captureTimerfd reads the timer with timerfd_gettime(2). This also counts the expirations of an interval timer since the last
// one that woke a reader. The program notices no difference: its own read would count them. What is recorded is what fdinfo shows
// afterwards, because that has the time and the ticks of one moment.
func captureTimerfd(c *capture, o *open) (any, error) {
	r := &Timerfd{}
	if err := r.look(o); err != nil {
		return nil, err
	}
	var asked time.Time
	var failed error
	c.questions.into(o, unix.SYS_TIMERFD_GETTIME, timerfdSize, func(result int64, data []byte) {
		asked = time.Now()
		if result < 0 {
			failed = fmt.Errorf("pid %d fd %d: timerfd_gettime: %w", o.member.Pid, o.fd, unix.Errno(-result))
			return
		}
		failed = r.look(o)
	})
	c.later = append(c.later, func() error {
		if failed != nil || o.member.Calls == nil {
			return failed
		}
		return r.settle(o, asked.Add(timerLate+2*timerTick()))
	})
	return r, c.private(o, "timerfd")
}

// settle looks whether a timer that shows 0 as the time left is disarmed. One that expires at this very moment also shows 0, until
// the kernel has handled the interrupt: then it has ticks. An interval timer with ticks is armed, because timerfd_settime(2) sets
// the ticks to 0, but it shows 0 until somebody reads it. The last look comes after the limit, however late the writer itself is.
func (r *Timerfd) settle(o *open, limit time.Time) error {
	for over := false; r.ValueNs == 0 && r.Ticks == 0 && !over; {
		if over = !time.Now().Before(limit); !over {
			time.Sleep(timerLate / 10) // no event tells that an interrupt has been handled
		}
		if err := r.look(o); err != nil {
			return err
		}
	}
	if r.ValueNs == 0 && r.Ticks > 0 && r.IntervalNs > 0 {
		r.ValueNs = r.IntervalNs
		if r.Flags&timerAbsolute != 0 {
			r.ValueNs += clockOf(o.member, r.Clock)
		}
	}
	return nil
}

// timerTick is how late a timer may expire: a kernel without high-resolution timers looks at them every few milliseconds.
func timerTick() time.Duration {
	var resolution unix.Timespec
	if unix.ClockGetres(unix.CLOCK_MONOTONIC, &resolution) != nil {
		return 0
	}
	return min(time.Duration(resolution.Nano()), timerTickMost)
}

// look reads fdinfo (proc_pid_fdinfo(5)).
func (r *Timerfd) look(o *open) error {
	info, err := o.fdinfo()
	if err != nil {
		return err
	}
	clock, err := info.number("clockid", 10)
	if err != nil {
		return err
	}
	r.Clock = int32(clock)
	now, err := timeOf(func() int64 { return clockNow(r.Clock) }, func() (keep func(), err error) {
		seen, err := o.fdinfo()
		return func() { info = seen }, err
	})
	if err != nil {
		return err
	}
	now += clockAhead(o.member, r.Clock)
	if r.Ticks, err = info.number("ticks", 10); err != nil {
		return err
	}
	for _, line := range info {
		switch line.Key {
		case "settime":
			if _, err := fmt.Sscanf(strings.TrimPrefix(line.Value, "flags:"), "%o", &r.Flags); err != nil {
				return fmt.Errorf("fdinfo: settime flags: %q: not a number", line.Value)
			}
		case "it_value":
			r.ValueNs, err = seconds(line.Value)
		case "it_interval":
			r.IntervalNs, err = seconds(line.Value)
		}
		if err != nil {
			return fmt.Errorf("fdinfo: %s: %w", line.Key, err)
		}
	}
	if r.Flags&timerAbsolute != 0 && r.ValueNs != 0 {
		r.ValueNs += now
	}
	return nil
}

// seconds reads "(seconds, nanoseconds)".
func seconds(text string) (ns int64, err error) {
	var s int64
	if _, err := fmt.Sscanf(text, "(%d, %d)", &s, &ns); err != nil {
		return 0, fmt.Errorf("%q: not a time", text)
	}
	return s*1e9 + ns, nil
}

// timeOf calls look and returns the time of a clock just afterwards. If much time passes between, because another process has the processor,
// it calls look again, some times at most. It keeps what the quickest call saw.
func timeOf(clock func() int64, look func() (keep func(), err error)) (now int64, err error) {
	took := int64(math.MaxInt64)
	for try := 0; try < 10 && took > int64(lookQuick); try++ {
		before := clock()
		keep, err := look()
		if err != nil {
			return 0, err
		}
		after := clock()
		if lasted := after - before; try == 0 || lasted >= 0 && lasted < took { // a clock can be set back
			keep()
			now = after
			if lasted >= 0 {
				took = lasted
			}
		}
	}
	return now, nil
}

// clockOf is the time of a clock in nanoseconds, as a member reads it.
func clockOf(m *Member, clock int32) int64 { return clockNow(clock) + clockAhead(m, clock) }

// clockNow is the time of a clock in nanoseconds.
func clockNow(clock int32) int64 {
	var now unix.Timespec
	if unix.ClockGettime(clock, &now) != nil {
		return 0
	}
	return now.Nano()
}

// clockAhead is how far a clock is ahead of the writer's for a member: its time namespace may be another one.
func clockAhead(m *Member, clock int32) int64 {
	name := map[int32]string{unix.CLOCK_MONOTONIC: "monotonic", unix.CLOCK_BOOTTIME: "boottime", unix.CLOCK_BOOTTIME_ALARM: "boottime"}[clock]
	return clockOffset(m.Proc, name) - clockOffset("/proc/self", name)
}

// clockOffset reads how far a clock of a process is ahead of the machine's (time_namespaces(7)).
func clockOffset(dir, name string) int64 {
	text, err := proc.ReadFile(dir + "/timens_offsets")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		var of string
		var s, ns int64
		if _, err := fmt.Sscan(string(line), &of, &s, &ns); err == nil && of == name {
			return s*1e9 + ns
		}
	}
	return 0
}

func timerRecord(d image.Description) (Timerfd, error) {
	r, err := record[Timerfd](d)
	switch {
	case err != nil:
	case r.ValueNs < 0 || r.IntervalNs < 0:
		err = fmt.Errorf("description %d: timerfd: value %d ns, interval %d ns: negative", d.ID, r.ValueNs, r.IntervalNs)
	case r.Flags&^(timerAbsolute|timerCancelOnSet) != 0:
		err = fmt.Errorf("description %d: timerfd: flags %#x: not known", d.ID, r.Flags)
	}
	return r, err
}

func (r Timerfd) make() (*os.File, error) {
	n, err := unix.TimerfdCreate(int(r.Clock), unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: clock %d: %w", r.Clock, err)
	}
	return os.NewFile(uintptr(n), "timerfd"), nil
}

// attachTimerfd sets the timer when the member has been told to go: from then on its time runs. The member's clocks can be
// ahead of crak's, so the member does it.
func attachTimerfd(d image.Description, a *Attach) error {
	r, err := timerRecord(d)
	if err != nil || !a.First || r == (Timerfd{Clock: r.Clock}) {
		return err
	}
	set := func(fd program.Arg) {
		spec := unix.ItimerSpec{Interval: unix.NsecToTimespec(r.IntervalNs), Value: unix.NsecToTimespec(r.ValueNs)}
		a.Call(unix.SYS_TIMERFD_SETTIME, fd, program.Const(r.Flags), a.Set.Struct(spec), program.Const(0))
		if r.Ticks > 0 {
			a.Call(unix.SYS_IOCTL, fd, program.Const(timerSetTicks), a.Set.Struct(r.Ticks)).Note("expirations that were not read")
		}
	}
	alarm := r.Clock == unix.CLOCK_REALTIME_ALARM || r.Clock == unix.CLOCK_BOOTTIME_ALARM
	if len(a.Descriptors) == 0 || alarm { // only in a queue, or the member may lack CAP_WAKE_ALARM later
		set(a.Placed(d.ID))
		return nil
	}
	a.AtGo(func() { set(program.Const(a.Descriptors[0].Fd)) })
	return nil
}

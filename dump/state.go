package dump

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// Early returns questions that the initiator can answer as soon as its own process is frozen, while other members still run: what only
// the process itself can change, and clocks. The result is nil if they do not fit into one message. Then Read asks them.
func (m *Member) Early() *resident.Questions {
	early := new(resident.Questions)
	m.askEarly(early)
	if !early.IsShort() {
		return nil
	}
	m.askedEarly = true
	return early
}

func (m *Member) askEarly(ask *resident.Questions) {
	m.askAttributes(ask)
	m.askActions(ask)
	m.askClocks(ask)
	m.askCPU(ask)
	m.askPolicies(ask)
	m.askProcessor(ask)
}

// askInitiator records what only the initiator can find out by system calls: attributes of the whole process, and facts about
// descriptors. It asks in one exchange where possible, and calls meanwhile while the initiator answers.
func (m *Member) askInitiator(meanwhile func() error) (err error) {
	m.descriptors, err = fd.Look(&fd.Member{
		Pid:       m.Pid,
		Live:      m.Live,
		Inside:    int(m.Conn.Hello.Pid),
		Proc:      "/proc/" + strconv.Itoa(m.Live),
		As:        m.As,
		Overrides: m.Overrides,
		WithFiles: m.WithFiles,
		Holders:   m.Known.Holders,
		Seen:      &m.Table.Seen,
		Views:     m.views,
		Except:    []int{int(m.Conn.Hello.Socket)},
		Calls:     m.Conn.Calls,
		Wire:      int(m.Conn.Hello.Socket),
		Give:      m.Conn.Give,
	})
	if err != nil {
		return err
	}
	var ask resident.Questions
	m.askLockFuture(&ask)
	if !m.askedEarly {
		m.askEarly(&ask)
	}
	m.askSysV(&ask)
	m.descriptors.Ask(&ask)
	m.askTop(&ask)
	if err := m.askTimers(&ask); err != nil {
		return err
	}
	return ask.Put(func(calls []abi.Call, data []byte) ([]int64, error) {
		first := meanwhile
		meanwhile = func() error { return nil }
		return m.Conn.CallsWhile(calls, data, first)
	})
}

// attributes records what a file of /proc shows. The twin changes its own.
func (m *Member) attributes() error {
	score, err := number(m.Live, "oom_score_adj", 10)
	m.process.Attributes.OOMScoreAdj = int(score)
	return err
}

// number reads a file of /proc that holds one number.
func number(pid int, name string, base int) (int64, error) {
	text, err := proc.ReadFile(proc.Path(pid, name))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), base, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// layout is the memory layout from /proc. The end of the heap is not there: the initiator is asked for it (askTop).
func layout(s *proc.StatInfo) image.Layout {
	return image.Layout{
		StartCode:  image.Address(s.StartCode),
		EndCode:    image.Address(s.EndCode),
		StartData:  image.Address(s.StartData),
		EndData:    image.Address(s.EndData),
		StartBrk:   image.Address(s.StartBrk),
		StartStack: image.Address(s.StartStack),
		ArgStart:   image.Address(s.ArgStart),
		ArgEnd:     image.Address(s.ArgEnd),
		EnvStart:   image.Address(s.EnvStart),
		EnvEnd:     image.Address(s.EnvEnd),
	}
}

func (m *Member) askTop(ask *resident.Questions) {
	ask.Value(unix.SYS_BRK, [6]uint64{}, func(r int64) { m.process.Layout.Brk = image.Address(r) })
}

func (m *Member) askAttributes(ask *resident.Questions) {
	a := &m.process.Attributes
	ask.Value(unix.SYS_PERSONALITY, [6]uint64{0xffffffff}, func(r int64) { a.Personality = uint32(r) })
	prctl := func(option uint64, got func(int64)) {
		ask.Value(unix.SYS_PRCTL, [6]uint64{option}, got)
	}
	prctl(unix.PR_GET_THP_DISABLE, func(r int64) {
		a.THPDisable = r > 0
		a.THPExceptAdvised = r > 0 && r&thpExceptAdvised != 0
	})
	prctl(unix.PR_GET_SECUREBITS, func(r int64) { m.secureBits = uint32(max(r, 0)) })
	prctl(unix.PR_GET_KEEPCAPS, func(r int64) { a.KeepCaps = r == 1 })
	prctl(unix.PR_GET_MDWE, func(r int64) { a.MDWE = uint32(max(r, 0)) })
	prctl(unix.PR_GET_MEMORY_MERGE, func(r int64) { a.MemoryMerge = r == 1 })
	m.askFutexSlots(ask)
	ask.Value(unix.SYS_PRCTL, [6]uint64{unix.PR_TIMER_CREATE_RESTORE_IDS, unix.PR_TIMER_CREATE_RESTORE_IDS_GET}, func(r int64) { a.TimerIDs = r == 1 })
	m.askMembarrier(ask)
	prctl(unix.PR_MCE_KILL_GET, func(r int64) { a.MachineCheck = machineChecks[r] })
	counter := abi.Call{Number: unix.SYS_PRCTL, Relative: abi.Data(1), Args: [6]uint64{unix.PR_GET_TSC}}
	ask.Ask(counter, make([]byte, 4), func(_ int64, data []byte) { a.NoTimestamp = data[0] == unix.PR_TSC_SIGSEGV })
	subreaper := abi.Call{Number: unix.SYS_PRCTL, Relative: abi.Data(1), Args: [6]uint64{unix.PR_GET_CHILD_SUBREAPER}}
	ask.Ask(subreaper, make([]byte, 4), func(_ int64, data []byte) { a.ChildSubreaper = data[0] == 1 })
}

// askFutexSlots asks for the size of the process's table of futexes. The kernel does not tell who has chosen it. A process without
// a thread has no table, unless it has made one.
func (m *Member) askFutexSlots(ask *resident.Questions) {
	ask.Value(unix.SYS_PRCTL, [6]uint64{unix.PR_FUTEX_HASH, unix.PR_FUTEX_HASH_GET_SLOTS}, func(r int64) {
		threads := m.status.Threads
		if r < 0 || r > math.MaxUint32 || r == 0 && threads == 1 || r == futexSlots(threads) {
			return
		}
		slots := uint32(r)
		m.process.Attributes.FutexSlots = &slots
	})
}

// futexSlots is how many slots the kernel chooses for a process with this number of threads (futex_hash_allocate_default in
// the kernel's kernel/futex/core.c).
func futexSlots(threads int) int64 {
	most := uint(4 * min(threads, runtime.NumCPU()))
	return int64(max(16, 1<<bits.Len(most-1)))
}

const thpExceptAdvised = 2 // PR_THP_DISABLE_EXCEPT_ADVISED (Linux 6.18)

// machineChecks maps results of PR_MCE_KILL_GET to values of image.Attributes.MachineCheck.
var machineChecks = map[int64]int{unix.PR_MCE_KILL_EARLY: 1, unix.PR_MCE_KILL_LATE: 2}

func (m *Member) askClocks(ask *resident.Questions) {
	for clock, ns := range map[uint64]*int64{
		unix.CLOCK_MONOTONIC: &m.process.Clocks.MonotonicNs,
		unix.CLOCK_BOOTTIME:  &m.process.Clocks.BoottimeNs,
	} {
		call := abi.Call{Number: unix.SYS_CLOCK_GETTIME, Relative: abi.Data(1), Args: [6]uint64{clock}}
		ask.Ask(call, make([]byte, 16), func(_ int64, data []byte) { *ns = duration(data, 1e9) })
	}
}

// limits reads the resource limits of process pid. The resident is not asked: a restart by root sets them with root's rights.
func (m *Member) limits(pid int) error {
	all, err := proc.Read(pid, "limits", proc.Limits)
	if err != nil {
		return err
	}
	m.process.Limits = nil
	for resource, l := range all {
		m.process.Limits = append(m.process.Limits, image.Limit{Resource: resource, Soft: l.Soft, Hard: l.Hard})
	}
	return nil
}

func (m *Member) askActions(ask *resident.Questions) {
	m.process.Actions = make([]image.SignalAction, 64)
	for i := range m.process.Actions {
		call := abi.Call{Number: unix.SYS_RT_SIGACTION, Relative: abi.Data(2), Args: [6]uint64{uint64(i + 1), 0, 0, 8}}
		ask.Ask(call, make([]byte, 32), func(_ int64, data []byte) {
			m.process.Actions[i] = image.SignalAction{
				Handler:  image.Address(binary.NativeEndian.Uint64(data)),
				Flags:    binary.NativeEndian.Uint64(data[8:]),
				Restorer: image.Address(binary.NativeEndian.Uint64(data[16:])),
				Mask:     binary.NativeEndian.Uint64(data[24:]),
			}
		})
	}
}

func (m *Member) askTimers(ask *resident.Questions) error {
	timers, err := proc.Read(m.Live, "timers", proc.Timers)
	if err != nil {
		return fmt.Errorf("POSIX timers: %w", err)
	}
	m.process.Timers = make([]image.PosixTimer, len(timers))
	for i, t := range timers {
		if m.process.Timers[i], err = posixTimer(t); err != nil {
			return fmt.Errorf("POSIX timer %d: %w", t.ID, err)
		}
		ask.Value(unix.SYS_TIMER_GETOVERRUN, [6]uint64{uint64(t.ID)}, func(r int64) {
			m.process.Timers[i].Overrun = int32(r)
		})
	}
	m.askTimes(ask)
	return nil
}

func posixTimer(t proc.Timer) (image.PosixTimer, error) {
	p := image.PosixTimer{
		ID:     int32(t.ID),
		Clock:  int32(t.Clock),
		Notify: int32(t.Notify),
		Signal: int32(t.Signal),
		Value:  t.Value,
	}
	if t.ThreadID {
		p.Notify |= sigevThreadID
		s, err := proc.Read(t.Target, "status", proc.Status)
		if err != nil {
			return p, err
		}
		p.Tid = inside(s.NSpid, s.Pid)
	}
	return p, nil
}

const sigevThreadID = 4 // SIGEV_THREAD_ID (sigevent(7))

// duration reads a struct timeval (units 1e6) or timespec (1e9).
func duration(data []byte, units int64) int64 {
	return int64(binary.NativeEndian.Uint64(data))*units + int64(binary.NativeEndian.Uint64(data[8:]))
}

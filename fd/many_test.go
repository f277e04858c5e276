package fd_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// manyMost bounds the time of a capture. The unit is the time that fstat(2) and F_GETFL take for each descriptor. The aim is 20. Copies
// of a descriptor take 7 units, files 12, one file that is opened many times 18, eventfds 18.
const manyMost = 50

// TestManyDescriptors captures n and 2n descriptors, after a survey as before a freeze. The capture is a part of the pause: it is compared with fstat(2) and F_GETFL for
// each descriptor, and twice as many descriptors must not take much more than twice as long. Other processes are busy while tests
// run, so the processor time of the thread counts.
func TestManyDescriptors(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)) // the Go runtime has raised the soft limit to the hard limit
	n := int(min(limit.Cur/2-200, 4000))
	if n < 1000 {
		t.Skipf("needs a hard limit of 2400 descriptors, and it is %d", limit.Max)
	}
	dir := t.TempDir()
	kinds := map[string]func(i int) (int, error){
		"files": func(i int) (int, error) {
			return unix.Open(fmt.Sprintf("%s/%d", dir, i), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		},
		"one file": func(int) (int, error) { return unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0) },
		"copies":   func(int) (int, error) { return unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 0) },
		"eventfd":  func(i int) (int, error) { return unix.Eventfd(uint(i), unix.EFD_CLOEXEC) },
	}
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var open []int
			defer func() {
				for _, n := range open {
					unix.Close(n)
				}
			}()
			took := func(many int) (capture, calls time.Duration) {
				for len(open) < many {
					n, err := make(len(open))
					must(t, err)
					open = append(open, n)
				}
				for ; len(open) > many; open = open[:len(open)-1] {
					unix.Close(open[len(open)-1])
				}
				runtime.GC()
				calls = spent(t, func() {
					for _, n := range open {
						var st unix.Stat_t
						_ = unix.Fstat(n, &st)
						_, _ = unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
					}
				})
				var table fd.Table
				m := ourselves()
				m.Seen, m.Holders, m.Calls = &table.Seen, new(fd.Holders), nil // as if the program ran: this is what the survey does before the freeze
				must(t, second(fd.Capture(m, &table)))
				table.Again()
				m.Calls = makeCalls
				capture = spent(t, func() { must(t, second(fd.Capture(m, &table))) })
				return capture, calls
			}
			half, _ := took(n / 2)
			whole, calls := took(n)
			t.Logf(name+": %d descriptors: %v, half of them: %v; fstat and F_GETFL: %v", n, whole, half, calls)
			if whole > manyMost*calls {
				t.Errorf("%d descriptors take %v, %.1f times as long as fstat and F_GETFL", n, whole, float64(whole)/float64(calls))
			}
			if whole > 3*half {
				t.Errorf("%d descriptors take %v, half of them %v", n, whole, half)
			}
		})
	}
}

// TestManyDescriptorsOfAGroup captures 100,000 descriptors of ten members, and 50,000 of five: half of them are of one file, the others
// are eventfds.
func TestManyDescriptorsOfAGroup(t *testing.T) {
	const members, each = 10, 10000
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	n := min(each, int(limit.Max)-100)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all []*forked
	for range members {
		f := fork(t)
		for of := range slices.Chunk(make([]struct{}, n), abi.CallsMax) {
			var calls []abi.Call
			for i := range of {
				open := abi.Call{Number: unix.SYS_OPEN, Relative: abi.Data(0), Args: [6]uint64{0, unix.O_RDONLY}}
				if i%2 == 1 {
					open = abi.Call{Number: unix.SYS_EVENTFD2}
				}
				calls = append(calls, open)
			}
			must(t, second(f.calls(calls, []byte(os.DevNull+"\x00"))))
		}
		all = append(all, f)
	}
	took := func(all []*forked) time.Duration {
		var table fd.Table
		holders := new(fd.Holders)
		capture := func(frozen bool) {
			var looked []*fd.Descriptors
			for _, f := range all {
				m := f.member(&table.Seen)
				m.Holders = holders
				if !frozen {
					m.Calls = nil
				}
				d, err := fd.Look(m)
				must(t, err)
				looked = append(looked, d)
				if frozen {
					var q resident.Questions
					d.Ask(&q)
					must(t, q.Put(m.Calls))
				}
			}
			must(t, second(fd.CaptureGroup(looked, &table)))
		}
		capture(false)
		table.Again()
		runtime.GC()
		return spent(t, func() { capture(true) })
	}
	bounded(t, members*n, func() time.Duration { return took(all[:members/2]) }, func() (capture, calls time.Duration) {
		calls = spent(t, func() {
			for range members * n {
				var st unix.Stat_t
				_ = unix.Fstat(2, &st)
				_, _ = unix.FcntlInt(2, unix.F_GETFL, 0)
			}
		})
		return took(all), calls
	})
}

// bounded compares the time of a capture of n descriptors with that of half of them, and with that of fstat(2) and F_GETFL for each. The
// processor time of a thread grows when other processes take its cache, so the least of some measurements counts.
func bounded(t *testing.T, n int, ofHalf func() time.Duration, ofWhole func() (capture, calls time.Duration)) {
	half, whole, calls := time.Hour, time.Hour, time.Hour
	for measured := 1; ; measured++ {
		capture, one := ofWhole()
		half, whole, calls = min(half, ofHalf()), min(whole, capture), min(calls, one)
		t.Logf("%d descriptors: %v, half of them: %v; fstat and F_GETFL: %v", n, whole, half, calls)
		long, grown := whole > manyMost*calls, whole > 3*half
		if !long && !grown {
			return
		}
		if measured < 5 {
			continue
		}
		if long {
			t.Errorf("%d descriptors take %v, %.1f times as long as fstat and F_GETFL", n, whole, float64(whole)/float64(calls))
		}
		if grown {
			t.Errorf("%d descriptors take %v, half of them %v", n, whole, half)
		}
		return
	}
}

// spent is the processor time that the thread spends in a function.
func spent(t *testing.T, do func()) time.Duration {
	now := func() int64 {
		var at unix.Timespec
		must(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at))
		return at.Nano()
	}
	begun := now()
	do()
	return time.Duration(now() - begun)
}

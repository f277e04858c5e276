package dump

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

const overrunSignal = 40 // no other test uses it

// callHere makes the calls in the test's own process, as the initiator does in the program.
func callHere(calls []abi.Call, data []byte) ([]int64, error) {
	var results []int64
	for _, c := range calls {
		for i := range c.Args {
			if c.Relative&(1<<i) != 0 {
				c.Args[i] += uint64(uintptr(unsafe.Pointer(&data[0])))
			}
		}
		r, _, errno := unix.RawSyscall6(uintptr(c.Number), uintptr(c.Args[0]), uintptr(c.Args[1]), uintptr(c.Args[2]),
			uintptr(c.Args[3]), uintptr(c.Args[4]), uintptr(c.Args[5]))
		if errno != 0 {
			results = append(results, -int64(errno))
		} else {
			results = append(results, int64(r))
		}
	}
	runtime.KeepAlive(data)
	return results, nil
}

// TestOverrunKeepsSignal makes only the first message of calls, as if the writer was killed then. The signal is still pending,
// with all that it says. A signal that was not pending is not made.
func TestOverrunKeepsSignal(t *testing.T) {
	const blocked = "CRAK_TEST_BLOCKED"
	if os.Getenv(blocked) == "" { // again, with the signal blocked in all threads
		cmd := exec.Command("env", fmt.Sprintf("--block-signal=%d", overrunSignal), blocked+"=1", os.Args[0], "-test.run=^"+t.Name()+"$")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	m := &Member{Pid: os.Getpid(), status: proc.StatusInfo{Pid: os.Getpid()}}
	ask, answer := m.askOverrun(&image.PosixTimer{}, overrunSignal)
	if err := ask.Put(callHere); err != nil || answer.taken != nil || pendingHere(t) {
		t.Fatalf("without a signal: %v, taken %x, now pending: %t", err, answer.taken, pendingHere(t))
	}
	timer := newTimer(t)
	for deadline := time.Now().Add(10 * time.Second); !pendingHere(t); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the timer does not expire")
		}
	}
	ask, answer = m.askOverrun(timer, overrunSignal)
	if err := ask.Put(callHere); err != nil || answer.taken == nil {
		t.Fatalf("%v, taken %x", err, answer.taken)
	}
	if id, ok := image.SignalInfo(answer.taken).Timer(); !ok || id != timer.ID {
		t.Errorf("taken is not the timer's signal: %x", answer.taken)
	}
	if answer.remaining < int64(50*time.Minute) || answer.now == 0 {
		t.Errorf("%v until the next expiry, at %v", time.Duration(answer.remaining), answer.now)
	}
	if info := takeHere(t); !bytes.Equal(info, answer.taken) {
		t.Errorf("pending is\n%x, taken was\n%x", info, answer.taken)
	}
}

// pendingHere reports whether the signal is pending for the process.
func pendingHere(t *testing.T) bool {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\nShdPnd:\t")
	mask, err := strconv.ParseUint(after[:16], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask>>(overrunSignal-1)&1 != 0
}

// takeHere takes the pending signal. It returns nil if there is none.
func takeHere(t *testing.T) []byte {
	t.Helper()
	call, buffer := takeSignal(overrunSignal)
	if results, _ := callHere([]abi.Call{call}, buffer); results[0] != overrunSignal {
		return nil
	}
	return buffer[infoAt:]
}

// newTimer makes a timer that expires after a millisecond, and then once an hour.
func newTimer(t *testing.T) *image.PosixTimer {
	t.Helper()
	event := make([]byte, 64)
	binary.NativeEndian.PutUint64(event, 0x1234) // sigev_value
	binary.NativeEndian.PutUint32(event[8:], overrunSignal)
	var id int32
	if _, _, errno := unix.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event[0])),
		uintptr(unsafe.Pointer(&id))); errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() { unix.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(id), 0, 0) })
	setting := [4]int64{3600, 0, 0, 1e6}
	if _, _, errno := unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(&setting)), 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	return &image.PosixTimer{ID: id, Clock: unix.CLOCK_MONOTONIC, Signal: overrunSignal, IntervalNs: 3600e9}
}

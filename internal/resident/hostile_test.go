package resident

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// Limits for the memory and time that any resident can cost a writer.
const (
	mostMemory = 64 << 20
	mostTime   = 10 * time.Second
)

// FuzzResident has a resident send any bytes to a writer that uses every method, and then close the socket.
func FuzzResident(f *testing.F) {
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	helloBytes := join(hello(abi.Version, "CRAK_DIR=/x\x00")...)
	frozen := join(helloBytes, bytesOf(&abi.Message{Type: abi.Frozen, Count: 1, Length: abi.ThreadSize}), make([]byte, abi.ThreadSize))
	many := &abi.Message{Type: abi.Frozen, Count: 1 << 31, Length: (1 << 31) * abi.ThreadSize}
	f.Add(helloBytes)
	f.Add(frozen)
	f.Add(join(helloBytes, bytesOf(many), make([]byte, 4096)))
	f.Add(join(helloBytes, bytesOf(&abi.Message{Type: abi.Failed, Count: 1, Length: abi.FailureSize}), make([]byte, abi.FailureSize)))
	f.Add(join(frozen, bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 8 + 16}), make([]byte, 24),
		bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 8}), make([]byte, 8)))
	f.Fuzz(func(t *testing.T, says []byte) {
		bounded(t, func() {
			if len(says) > 1<<17 { // the socket's buffer holds no more
				return
			}
			l := listen(t)
			unix.Shutdown(connect(t, l, says), unix.SHUT_WR)
			c, err := l.Accept(os.Getpid(), time.Second)
			if err != nil {
				return
			}
			defer c.Close()
			if _, err := c.Frozen(time.Second); err != nil {
				return
			}
			if _, err := c.Calls(make([]abi.Call, 1), make([]byte, 16)); err != nil {
				return
			}
			c.Snapshot()
			c.Left()
		})
	})
}

// bounded fails the test if the function takes too much memory or time.
func bounded(t *testing.T, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	do()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > mostMemory {
		t.Errorf("%d MiB allocated", used>>20)
	}
	if took := time.Since(begun); took > mostTime {
		t.Errorf("took %v", took)
	}
}

// dripping makes a resident that sends the same bytes again and again until the test is over.
func dripping(t *testing.T, fd int, pause time.Duration, bytes []byte) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default: // without allocations: bounded counts those of the whole process
				time.Sleep(pause) // the resident under test sends slowly on purpose
				_ = unix.Sendto(fd, bytes, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// TestTalkativeAfterQuery: after a query the resident does not close the socket, but sends more.
func TestTalkativeAfterQuery(t *testing.T) {
	c, fd := accepted(t)
	dripping(t, fd, 0, make([]byte, 100))
	bounded(t, c.Left)
}

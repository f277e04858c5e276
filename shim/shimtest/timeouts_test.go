package shimtest

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"crak.dev/crak/coord"
)

// timeoutCalls are those of testdata/programs/timeouts.c, and whether the time before the first interruption counts: the
// kernel says what is left.
var timeoutCalls = map[string]bool{
	"nanosleep": false, "nanosleep_rest": true, "nanosleep_same": true, "clock_nanosleep": false, "poll": false, "ppoll": true,
	"ppoll_constant": false, "select": true, "raw_select": true, "pselect": true, "epoll_wait": false, "epoll_pwait2": false,
	"futex": false, "sigtimedwait": false, "semtimedop": false, "mq_timedreceive": true, "io_getevents": false,
	"recv": false, "read": false, "recvmmsg": false,
}

// TestTimeouts: a call with a timeout that is interrupted again and again ends in time, and the program sees nothing of it.
// What the kernel does not tell is how long it had taken before the first time.
func TestTimeouts(t *testing.T) {
	const (
		timeout  = 1500 * time.Millisecond
		interval = 300 * time.Millisecond
		late     = 400 * time.Millisecond // of a busy machine
	)
	program := filepath.Join(t.TempDir(), "timeouts")
	out, err := exec.Command("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program,
		"../../testdata/programs/timeouts.c", "-lrt").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for call, exact := range timeoutCalls {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(program, strconv.Itoa(int(timeout.Milliseconds())), call)
			cmd.Env = []string{"LD_PRELOAD=" + library(t), "CRAK_DIR=" + t.TempDir()}
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var errors bytes.Buffer
			cmd.Stderr = &errors
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(pipe)
			if line, err := lines.ReadString('\n'); line != "READY\n" {
				t.Fatalf("%q, %v", line, err)
			}
			ended := make(chan string, 1)
			begun := time.Now()
			go func() {
				line, _ := lines.ReadString('\n')
				ended <- line
			}()
			first := interrupt(t, cmd.Process.Pid, interval, ended)
			line := <-ended
			bound := timeout + late
			if !exact {
				bound += first.Sub(begun)
			}
			if call == "recv" || call == "read" || call == "recvmmsg" {
				bound += interval // it is looked at then
			}
			_, took, _ := strings.Cut(strings.TrimSpace(line), " ")
			if ms, err := strconv.Atoi(took); err != nil || ms < int(timeout.Milliseconds()) || ms > int(bound.Milliseconds()) {
				t.Errorf("%q after %v, within %v expected; %v %s", line, time.Since(begun), bound, cmd.Wait(), errors.String())
			}
		})
	}
}

// interrupt asks the program who it is, at an interval, until it has said something; the time of the first is returned.
func interrupt(t *testing.T, pid int, interval time.Duration, ended chan string) time.Time {
	t.Helper()
	var first time.Time
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		time.Sleep(interval)
		if len(ended) > 0 {
			break
		}
		coord.Check(pid, nil, func(string) {}) // sockets are obstacles: it was interrupted all the same
		if first.IsZero() {
			first = time.Now()
		}
	}
	return first
}

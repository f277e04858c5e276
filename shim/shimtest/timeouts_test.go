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

// timeoutCalls are the calls of testdata/programs/timeouts.c. The value tells whether the time before the first interruption
// counts: it does if the kernel reports the rest of the timeout.
var timeoutCalls = map[string]bool{
	"nanosleep": false, "nanosleep_rest": true, "nanosleep_same": true, "clock_nanosleep": false, "poll": false, "ppoll": true,
	"ppoll_constant": false, "select": true, "raw_select": true, "pselect": true, "epoll_wait": false, "epoll_pwait2": false,
	"futex": false, "sigtimedwait": false, "semtimedop": false, "mq_timedreceive": true, "io_getevents": false,
	"recv": false, "read": false, "recvmmsg": false,
}

// TestTimeouts: a call with a timeout that is interrupted many times ends in time, and the program does not notice. For some calls
// the kernel does not report how long the call had taken before the first interruption.
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
			first, longest := interrupt(t, cmd.Process.Pid, interval, ended)
			line := <-ended
			bound := timeout + late + longest // a call cannot end while its thread answers the query
			if !exact {
				bound += first.Sub(begun)
			}
			if call == "recv" || call == "read" || call == "recvmmsg" {
				bound += interval // the kernel checks the timeout only then
			}
			_, took, _ := strings.Cut(strings.TrimSpace(line), " ")
			if ms, err := strconv.Atoi(took); err != nil || ms < int(timeout.Milliseconds()) || ms > int(bound.Milliseconds()) {
				t.Errorf("%q after %v, within %v expected; %v %s", line, time.Since(begun), bound, cmd.Wait(), errors.String())
			}
		})
	}
}

// interrupt queries the resident at an interval until the program prints a line. It returns the time of the first query, and how long the
// longest one took.
func interrupt(t *testing.T, pid int, interval time.Duration, ended chan string) (first time.Time, longest time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); {
		time.Sleep(interval)
		if len(ended) > 0 {
			break
		}
		begun := time.Now()
		coord.Check(coord.Options{Pid: pid}) // sockets are obstacles, but Check interrupts the call anyway
		longest = max(longest, time.Since(begun))
		if first.IsZero() {
			first = time.Now()
		}
	}
	return first, longest
}

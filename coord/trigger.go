package coord

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// triggers are the signals that libcrak.so knows by name (shim/init.c).
var triggers = []struct {
	name   string
	number unix.Signal
}{
	{"USR1", unix.SIGUSR1}, {"USR2", unix.SIGUSR2}, {"HUP", unix.SIGHUP}, {"QUIT", unix.SIGQUIT}, {"ALRM", unix.SIGALRM},
	{"TERM", unix.SIGTERM}, {"URG", unix.SIGURG}, {"IO", unix.SIGIO}, {"PWR", unix.SIGPWR}, {"XCPU", unix.SIGXCPU},
	{"WINCH", unix.SIGWINCH}, {"VTALRM", unix.SIGVTALRM},
}

// glibcRTMIN is glibc's SIGRTMIN: glibc uses the two real-time signals below it.
const glibcRTMIN = 34

// ParseTrigger reads a value of CRAK_SIGNAL: the signal that asks for a checkpoint, 0 for none.
func ParseTrigger(value string) (int, error) {
	name := strings.TrimPrefix(value, "SIG")
	switch {
	case value == "":
		return int(unix.SIGUSR2), nil
	case value == "none":
		return 0, nil
	case name == "RTMIN":
		return glibcRTMIN, nil
	}
	var names []string
	for _, t := range triggers {
		if name == t.name {
			return int(t.number), nil
		}
		names = append(names, t.name)
	}
	number, err := strconv.Atoi(value)
	if offset, ok := strings.CutPrefix(name, "RTMIN+"); ok {
		number, err = strconv.Atoi(offset)
		number += glibcRTMIN
	}
	taken := []int{int(unix.SIGKILL), int(unix.SIGSTOP), 32, abi.FreezeSignal} // 32: glibc uses it for pthread_cancel
	if err != nil || number <= 0 || number > 64 || slices.Contains(taken, number) {
		return 0, fmt.Errorf("%q: neither none, nor a number, nor RTMIN or RTMIN+n, nor one of %s", value, strings.Join(names, ", "))
	}
	return number, nil
}

// signalName is the name or number of a signal for kill(1).
func signalName(number int) string {
	for _, t := range triggers {
		if int(t.number) == number {
			return t.name
		}
	}
	return strconv.Itoa(number)
}

// triggerNotice tells what the signal that asks for a checkpoint does to the program now.
func (m *member) triggerNotice() string {
	instead := fmt.Sprintf("crak checkpoint %d does", m.pid)
	value := m.settings["CRAK_SIGNAL"]
	number, err := ParseTrigger(value)
	if err != nil { // libcrak.so does the same with such a value
		number = int(unix.SIGUSR2)
	}
	if number == 0 {
		return "no signal asks it for a checkpoint: CRAK_SIGNAL is none; " + instead
	}
	name := signalName(number)
	status, statusErr := proc.Read(m.live, "status", proc.Status)
	// The thread may still be in the resident's handler, which blocks every signal, the freeze signal among them.
	for deadline := time.Now().Add(timeoutAnswer); statusErr == nil && blocks(m.pid, m.live) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		status, statusErr = proc.Read(m.live, "status", proc.Status)
	}
	bit := uint64(1) << (number - 1)
	switch {
	case statusErr != nil:
		return ""
	case m.trigger != 0 && status.SigBlk&bit != 0:
		return fmt.Sprintf("thread %d blocks signal %s, which asks it for a checkpoint; %s", m.live, name, instead)
	case m.trigger != 0 && err != nil:
		return fmt.Sprintf("signal %s asks it for a checkpoint; CRAK_SIGNAL is %v", name, err)
	case m.trigger != 0:
		return fmt.Sprintf("kill -%s %d asks it for a checkpoint", name, m.pid)
	case status.SigIgn&bit != 0:
		return fmt.Sprintf("no signal asks it for a checkpoint: it ignores signal %s; %s", name, instead)
	case status.SigCgt&bit != 0:
		return fmt.Sprintf("no signal asks it for a checkpoint: it has a use of its own for signal %s; %s", name, instead)
	}
	return fmt.Sprintf("no signal asks it for a checkpoint: signal %s ends it; %s", name, instead)
}

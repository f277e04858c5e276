package dump

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

// TestIsOurs checks which pending signals are not state of the program.
func TestIsOurs(t *testing.T) {
	const ours, theirs = 0x7000, 0x8000
	m := &Member{}
	m.process.Actions = make([]image.SignalAction, 64)
	m.process.Actions[abi.FreezeSignal-1] = image.SignalAction{Handler: 0x100, Restorer: ours}
	m.process.Actions[unix.SIGUSR2-1] = image.SignalAction{Handler: 0x200, Restorer: ours}
	m.process.Actions[unix.SIGUSR1-1] = image.SignalAction{Handler: 0x300, Restorer: theirs}
	for _, test := range []struct {
		name   string
		signal unix.Signal
		code   int32
		want   bool
	}{
		{"order", abi.FreezeSignal, -1 /* SI_QUEUE */, true},
		{"end of a twin", abi.FreezeSignal, 1 /* CLD_EXITED */, true},
		{"glibc's setuid", abi.FreezeSignal, codeThread, false},
		{"trigger", unix.SIGUSR2, 0, true},
		{"handled by the program", unix.SIGUSR1, 0, false},
		{"not handled", unix.SIGHUP, 0, false},
		{"no signal", 0, 0, false},
		{"none of 64", 65, 0, false},
	} {
		info := make([]byte, signalInfoSize)
		binary.NativeEndian.PutUint32(info, uint32(test.signal))
		binary.NativeEndian.PutUint32(info[8:], uint32(test.code))
		if got := m.isOurs(info); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

package image

import "encoding/binary"

// SignalInfo is the siginfo_t of a pending signal (sigaction(2)): 128 bytes, as the kernel returns it.
type SignalInfo []byte

// Offsets in siginfo_t, and a value of si_code.
const (
	codeAt  = 8
	timerAt = 16 // in the signal of a timer

	codeTimer = -2 // SI_TIMER
)

// Signal is si_signo.
func (s SignalInfo) Signal() uint32 { return binary.NativeEndian.Uint32(s) }

// Code is si_code.
func (s SignalInfo) Code() int32 { return int32(binary.NativeEndian.Uint32(s[codeAt:])) }

// Timer returns the ID of the POSIX timer that sent the signal. ok is false if no timer sent it.
func (s SignalInfo) Timer() (id int32, ok bool) {
	return int32(binary.NativeEndian.Uint32(s[timerAt:])), s.Code() == codeTimer
}

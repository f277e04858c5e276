package image

import (
	"encoding/binary"
	"testing"
)

func TestSignalInfo(t *testing.T) {
	s := make(SignalInfo, infoSize)
	binary.NativeEndian.PutUint32(s, 34)
	binary.NativeEndian.PutUint32(s[16:], 7)
	for code, want := range map[int32]bool{-2 /* SI_TIMER */ : true, -6 /* SI_TKILL */ : false, 0 /* SI_USER */ : false} {
		binary.NativeEndian.PutUint32(s[8:], uint32(code))
		id, ok := s.Timer()
		if s.Signal() != 34 || s.Code() != code || id != 7 || ok != want {
			t.Errorf("signal %d, code %d, timer %d, %v", s.Signal(), s.Code(), id, ok)
		}
	}
}

func TestPageAlign(t *testing.T) {
	for n, want := range map[uint64]uint64{0: 0, 1: 4096, 4096: 4096, 4097: 8192} {
		if got := PageAlign(n); got != want {
			t.Errorf("%d bytes: %d instead of %d", n, got, want)
		}
	}
}

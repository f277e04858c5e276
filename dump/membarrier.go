package dump

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/resident"
)

// Commands of membarrier(2). The command that registers for a private barrier is the bit after the barrier's own.
const (
	barrierRegisterGlobal   = 1 << 2
	barrierPrivate          = 1 << 3
	barrierPrivateCore      = 1 << 5
	barrierPrivateRseq      = 1 << 7
	barrierGetRegistrations = 1 << 9 // Linux 6.3

	barrierRegistrations = barrierRegisterGlobal | (barrierPrivate|barrierPrivateCore|barrierPrivateRseq)<<1
)

// askMembarrier asks which barriers the process has registered for. Kernels before Linux 6.3 cannot list them. There the
// initiator tries each private barrier, which the kernel refuses to a process that has not registered. The global barrier
// cannot be tested, because every process may use it; it is recorded with the others, because the registration does no harm.
func (m *Member) askMembarrier(ask *resident.Questions) {
	a := &m.process.Attributes
	command := func(c uint64, got func(int64)) { ask.Value(unix.SYS_MEMBARRIER, [6]uint64{c}, got) }
	listed := false
	command(barrierGetRegistrations, func(r int64) {
		if listed = r >= 0; listed {
			a.Membarrier = uint32(r) & barrierRegistrations
		}
	})
	for _, c := range []uint32{barrierPrivate, barrierPrivateCore, barrierPrivateRseq} {
		command(uint64(c), func(r int64) {
			if !listed && r == 0 {
				a.Membarrier |= c<<1 | barrierRegisterGlobal
			}
		})
	}
}

package dump

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// Commands of arch_prctl(2), and the XSAVE components that a process must request before it uses them.
const (
	archGetCPUID      = 0x1011  // ARCH_GET_CPUID
	archGetPermission = 0x1022  // ARCH_GET_XCOMP_PERM, Linux 5.16
	askedFor          = 1 << 18 // XFEATURE_MASK_XTILE_DATA
)

// askProcessor asks for the state of the processor that is not in registers: permitted XSAVE components, whether CPUID
// faults, and the local descriptor table.
func (m *Member) askProcessor(ask *resident.Questions) {
	permitted := abi.Call{Number: unix.SYS_ARCH_PRCTL, Relative: abi.Data(1), Args: [6]uint64{archGetPermission}}
	ask.Ask(permitted, make([]byte, 8), func(result int64, data []byte) {
		if result == 0 {
			m.process.Attributes.ExtendedStates = binary.NativeEndian.Uint64(data) & askedFor
		}
	})
	ask.Value(unix.SYS_ARCH_PRCTL, [6]uint64{archGetCPUID}, func(result int64) { m.noCPUID = result == 0 })
	const read = 0 // modify_ldt(2)
	table := abi.Call{Number: unix.SYS_MODIFY_LDT, Relative: abi.Data(1), Args: [6]uint64{read, 0, 8}}
	ask.Ask(table, make([]byte, 8), func(result int64, _ []byte) { m.descriptorTable = int32(result) > 0 })
}

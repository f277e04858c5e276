package dump

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

const nodeWords = len(abi.Thread{}.Nodes)

// askPolicies asks for the NUMA policies of the mappings that had one before the freeze.
func (m *Member) askPolicies(ask *resident.Questions) {
	m.policies = make(map[uint64]*image.MemoryPolicy)
	for _, start := range m.Known.Policies {
		m.askPolicy(ask, start)
	}
}

// freshPolicies asks for the NUMA policies of the mappings that are new since before the freeze.
func (m *Member) freshPolicies() error {
	var ask resident.Questions
	for start := range m.fresh {
		m.askPolicy(&ask, start)
	}
	return ask.Put(m.Conn.Calls)
}

func (m *Member) askPolicy(ask *resident.Questions, start uint64) {
	const ofAddress = 2 // MPOL_F_ADDR
	call := abi.Call{Number: unix.SYS_GET_MEMPOLICY, Relative: abi.Data(0) | abi.Data(1),
		Args: [6]uint64{0, 8, uint64(64 * nodeWords), start, ofAddress}}
	ask.Ask(call, make([]byte, 8+8*nodeWords), func(result int64, data []byte) {
		mode := int32(binary.NativeEndian.Uint32(data))
		if result < 0 || mode == 0 {
			return // it is unmapped now, or has the default policy, so that the thread's policy applies
		}
		p := &image.MemoryPolicy{Mode: mode}
		for word := range slices.Chunk(data[8:], 8) {
			p.Nodes = append(p.Nodes, binary.NativeEndian.Uint64(word))
		}
		m.policies[start] = p
	})
}

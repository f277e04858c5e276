package dump

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// common is a shared, writable mapping of a file. The program can write to the file through it. The file's time of
// modification does not show every such write: the kernel updates it at the first write to a page, and again only after it
// has written the page back. In tmpfs the kernel never updates it. So a restart compares the content, by a checksum in the
// image (image.Mapping.Sum).
//
// The checksum must describe the moment of the checkpoint, but the twin shares these pages with the running program. So up
// to copiedMost bytes that are in memory are copied while the program is frozen, and the checksum is computed later. Larger
// mappings get a checksum only if the program does not run again.
type common struct {
	mapping int // index in image.Process.Mappings
	start   uint64
	length  uint64 // up to the end of the file
	content []byte // the copy; nil if none was made
}

const (
	copiedMost = 1 << 20 // bytes; copying takes half a millisecond
	commonStep = 1 << 20
)

// addCommon plans the checksum of a mapping.
func (p *plan) addCommon(index int, v *image.Mapping) {
	if v.Kind != image.MappingFile || !v.Shared || !v.Writable || v.File == nil {
		return
	}
	length := min(uint64(v.End-v.Start), uint64(max(v.File.Size-int64(v.Offset), 0)))
	p.common = append(p.common, common{mapping: index, start: uint64(v.Start), length: length})
}

// roomForCommon allocates memory for the copies. It touches each page before the program is frozen, because the first touch
// of a page takes microseconds.
func roomForCommon(entries []proc.SmapsEntry) []byte {
	size := uint64(0)
	for _, e := range entries {
		if e.Shared && e.Has("mw") && e.Inode != 0 && size+e.Size() <= copiedMost {
			size += e.Size()
		}
	}
	room := make([]byte, size)
	for at := 0; at < len(room); at += os.Getpagesize() {
		room[at] = 1
	}
	return room
}

// copyCommon copies the mappings that are small and in memory. A mapping that must first be read from a disk, perhaps over
// the network, would extend the pause.
//
// Preconditions: the member is frozen.
func (m *Member) copyCommon() error {
	var ask resident.Questions
	var wanted []*common
	left := uint64(copiedMost)
	for i := range m.plan.common {
		c := &m.plan.common[i]
		if c.length == 0 || c.length > left {
			continue
		}
		left -= c.length
		call := abi.Call{Number: unix.SYS_MINCORE, Relative: 1 << 2, Args: [6]uint64{c.start, c.length, 0}}
		ask.Ask(call, make([]byte, image.PageAlign(c.length)/image.PageSize), func(result int64, in []byte) {
			if result == 0 && !slices.ContainsFunc(in, func(b byte) bool { return b&1 == 0 }) {
				wanted = append(wanted, c)
			}
		})
	}
	if left == copiedMost {
		return nil
	}
	if err := ask.Put(m.Conn.Calls); err != nil {
		return err
	}
	memory, err := m.reader(m.Live)
	if err != nil {
		return err
	}
	for _, c := range wanted {
		var content []byte
		if c.length <= uint64(len(m.room)) {
			content, m.room = m.room[:c.length], m.room[c.length:]
		} else {
			content = make([]byte, c.length)
		}
		if memory.read(content, []image.Run{{Start: c.start, Length: c.length}}) == nil {
			c.content = content
		}
	}
	return nil
}

// SumCommon computes the checksums of the files that the member writes to through shared mappings. stays means that the
// member is frozen and will not run again. A mapping that cannot be read or is too large gets no checksum.
func (m *Member) SumCommon(stays bool) error {
	if len(m.plan.common) == 0 {
		return nil
	}
	memory, err := m.reader(m.Live)
	if err != nil {
		return m.fail(err)
	}
	left := uint64(image.SummedMost)
	for _, c := range m.plan.common {
		if c.content == nil && !stays || c.length > left {
			continue
		}
		left -= c.length
		sum := sha256.New()
		if c.content != nil {
			sum.Write(c.content)
		} else if memory.sum(sum, c.start, c.length) != nil {
			continue
		}
		m.process.Mappings[c.mapping].Sum = hex.EncodeToString(sum.Sum(nil))
	}
	return nil
}

func (r *reader) sum(sum hash.Hash, start, length uint64) error {
	buffer := make([]byte, min(length, commonStep))
	for length > 0 {
		n := min(length, uint64(len(buffer)))
		if err := r.read(buffer[:n], []image.Run{{Start: start, Length: n}}); err != nil {
			return err
		}
		sum.Write(buffer[:n])
		start, length = start+n, length-n
	}
	return nil
}

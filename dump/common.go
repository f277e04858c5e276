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

// A common mapping is of a file that the program can write to through it (shared, writable). The file's time of modification
// does not show all that is written so: the kernel sets it at the first write to a page, and again only after it has written the
// page back; in tmpfs it never does. So a restart compares content, by a sum that the image holds (image.Mapping.Sum).
//
// The sum must be of the instant of the checkpoint, and the twin shares these pages. So what is in memory, up to copiedMost, is
// copied while the program stands still, and summed later. More is summed only where the program does not run on.
type common struct {
	mapping int // index
	start   uint64
	length  uint64 // up to the end of the file
	content []byte // a copy, where there is one
}

const (
	copiedMost = 1 << 20 // bytes: half a millisecond
	commonStep = 1 << 20
)

// addCommon plans the sum of a mapping.
func (p *plan) addCommon(index int, v *image.Mapping) {
	if v.Kind != image.MappingFile || !v.Shared || !v.Writable || v.File == nil {
		return
	}
	length := min(uint64(v.End-v.Start), uint64(max(v.File.Size-int64(v.Offset), 0)))
	p.common = append(p.common, common{mapping: index, start: uint64(v.Start), length: length})
}

// roomForCommon is memory to copy to, touched before the program stands still: the first touch of a page takes microseconds.
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

// copyCommon copies what is small and in memory: what has to be read from a disk first, perhaps another machine's, would keep
// the program standing. Preconditions: the member is frozen.
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

// SumCommon sums the files that the member writes to through shared mappings. stays: it is frozen, and will not run
// again. What cannot be read, or is too much, has no sum.
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

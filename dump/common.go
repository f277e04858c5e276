package dump

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
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

	place place
	first *common // another mapping of the same place; nil: this is the first
	sum   string  // hex; empty: none
}

// A place is a part of a file.
type place struct {
	file           fd.Inode
	offset, length uint64
}

const (
	copiedMost      = 1 << 20  // limit for a member, in bytes; copying takes half a millisecond
	copiedMostOfAll = 16 << 20 // limit for a group, in bytes
	commonStep      = 1 << 20
)

// Copies has the copies of mapped files that are made while a group is frozen. A part of a file that several members map is copied
// once.
type Copies struct {
	room  []byte
	left  uint64
	first map[place]*common
}

// addCommon plans the checksum of a mapping.
func (p *plan) addCommon(index int, v *image.Mapping) {
	if v.Kind != image.MappingFile || !v.Shared || !v.Writable || v.File == nil {
		return
	}
	length := min(uint64(v.End-v.Start), uint64(max(v.File.Size-int64(v.Offset), 0)))
	at := place{file: fd.Inode{Device: v.File.Device, Number: v.File.Inode}, offset: v.Offset, length: length}
	p.common = append(p.common, common{mapping: index, start: uint64(v.Start), length: length, place: at})
}

// NewCopies allocates memory for the copies. It touches each page before the members are frozen, because the first touch of a
// page takes microseconds.
func NewCopies(members []*Member) *Copies {
	known := make(map[place]bool)
	total := uint64(0)
	for _, m := range members {
		size := uint64(0)
		for _, e := range m.Known.Mappings {
			at := place{file: inodeOf(e), offset: e.Offset, length: e.Size()}
			if !e.Shared || !e.Has("mw") || e.Inode == 0 || known[at] || size+e.Size() > copiedMost {
				continue
			}
			known[at] = true
			size += e.Size()
		}
		total += size
	}
	room := make([]byte, min(total, copiedMostOfAll))
	for at := 0; at < len(room); at += os.Getpagesize() {
		room[at] = 1
	}
	return &Copies{room: room, left: copiedMostOfAll, first: make(map[place]*common)}
}

// take returns memory for a copy.
func (all *Copies) take(length uint64) (content []byte) {
	if length > uint64(len(all.room)) {
		return make([]byte, length)
	}
	content, all.room = all.room[:length], all.room[length:]
	return content
}

// copyCommon copies the mappings that are small and in memory. A mapping that must first be read from a disk, perhaps over
// the network, would extend the pause.
//
// Preconditions: the member is frozen.
func (m *Member) copyCommon(copies *Copies) error {
	var ask resident.Questions
	var wanted []*common
	left := min(copiedMost, copies.left)
	before := left
	for i := range m.plan.common {
		c := &m.plan.common[i]
		if c.first = copies.first[c.place]; c.first != nil {
			continue
		}
		copies.first[c.place] = c
		if c.length == 0 || c.length > left {
			continue
		}
		left -= c.length
		call := abi.Call{Number: unix.SYS_MINCORE, Relative: abi.Data(2), Args: [6]uint64{c.start, c.length, 0}}
		ask.Ask(call, make([]byte, image.PageAlign(c.length)/image.PageSize), func(result int64, in []byte) {
			if result == 0 && !slices.ContainsFunc(in, func(b byte) bool { return b&1 == 0 }) {
				wanted = append(wanted, c)
			}
		})
	}
	if left == before {
		return nil
	}
	copies.left -= before - left
	if err := ask.Put(m.Conn.Calls); err != nil {
		return err
	}
	memory, err := openReader(m.Live)
	if err != nil {
		return err
	}
	defer memory.close()
	for _, c := range wanted {
		content := copies.take(c.length)
		if memory.read(content, []image.Run{{Start: c.start, Length: c.length}}) == nil {
			c.content = content
		}
	}
	return nil
}

// SumCommon computes the checksums of the files that the member writes to through shared mappings. stays means that the member is
// frozen and does not run again. It takes the members in the order in which SaveFrozen got them. A mapping that cannot be read or
// is too large gets no checksum. If the member runs again, it may have ended: only the copies get checksums then.
func (m *Member) SumCommon(stays bool) error {
	if len(m.plan.common) == 0 {
		return nil
	}
	var memory *reader
	if stays {
		var err error
		if memory, err = openReader(m.Live); err != nil {
			return m.fail(err)
		}
		defer memory.close()
	}
	left := uint64(image.SummedMost)
	for i := range m.plan.common {
		c := &m.plan.common[i]
		if c.length > left {
			continue
		}
		if c.first != nil && c.first.sum != "" {
			left -= c.length
			m.process.Mappings[c.mapping].Sum = c.first.sum
			continue
		}
		if c.content == nil && !stays {
			continue
		}
		left -= c.length
		sum := sha256.New()
		if c.content != nil {
			sum.Write(c.content)
		} else if memory.sum(sum, c.start, c.length) != nil {
			continue
		}
		c.sum = hex.EncodeToString(sum.Sum(nil))
		m.process.Mappings[c.mapping].Sum = c.sum
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

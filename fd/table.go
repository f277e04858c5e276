package fd

import (
	"cmp"
	"fmt"
	"slices"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A Table collects the open file descriptions and the shared memory objects of a group while its members are captured
// one by one. The zero value is ready.
type Table struct {
	Descriptions []image.Description
	Memory       []image.MemoryObject
	Objects      []image.Object
	InFlight     []InFlight   // contents of objects
	Copied       []CopiedFile // of which the image gets a copy
	Obstacles    obstacle.List
	Seen         Seen // by Look, in all members
	HasOutside   bool // a TCP connection to a process outside

	memory  map[Inode]image.MemoryID
	objects map[objectKey]image.ObjectID
	sources map[image.MemoryID]Take

	inFlight    inFlight
	connections []Take           // TCP sockets of connections in the group
	held        []heldConnection // connections to the outside, whose packets are dropped
}

// Again empties the table for another capture of the same group. What it keeps makes that capture faster.
func (t *Table) Again() { *t = Table{Seen: Seen{ranks: t.Seen.order()}} }

// InFlight is the content of an object at the checkpoint, for example the bytes that wait in a pipe or in the queue of a socket.
type InFlight struct {
	Object  image.ObjectID
	Content []byte
}

// An Inode identifies a file of this machine, as in stat(2) and /proc/PID/maps.
type Inode struct {
	Device uint64
	Number uint64
}

// Take takes a handle of a memory object's file. The members are frozen at that time.
type Take func() (*Handle, error)

// Object is the number of the memory object of an inode. A new inode gets the next number, and o describes it; o.ID
// is ignored.
//
// source takes a handle of the object, or is nil. Without a source only the object's mappings can be read, and o.Size
// covers only these. With a source, name, size, mode and owner are exact.
func (t *Table) Object(inode Inode, o image.MemoryObject, source Take) image.MemoryID {
	id, known := t.memory[inode]
	if !known {
		if t.memory == nil {
			t.memory = make(map[Inode]image.MemoryID)
			t.sources = make(map[image.MemoryID]Take)
		}
		id = image.MemoryID(len(t.Memory) + 1)
		o.ID = id
		t.Memory = append(t.Memory, o)
		t.memory[inode] = id
	}
	if source != nil && t.sources[id] == nil {
		t.sources[id] = source
		m := &t.Memory[id-1]
		m.Name, m.Size, m.Mode, m.Owner = o.Name, o.Size, o.Mode, o.Owner
	}
	return id
}

// Known is the number of the memory object behind an inode, or 0.
func (t *Table) Known(inode Inode) image.MemoryID { return t.memory[inode] }

// HasSource tells whether a descriptor gives access to the whole content of an object.
func (t *Table) HasSource(id image.MemoryID) bool { return t.sources[id] != nil }

// Content is the content of a memory object that a descriptor refers to.
type Content struct {
	Memory image.MemoryID
	Size   int64
	inode  Inode
	name   string
	take   Take
}

// Open opens the content for reading.
func (c Content) Open() (*Source, error) {
	h, err := c.take()
	if err == nil {
		defer h.Close()
		var s *Source
		if s, err = h.Open(c.inode); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("memory object %d: %s: %w", c.Memory, c.name, err)
}

// Contents lists the memory objects that can be read through a descriptor. They are not copy-on-write. Content that
// must match the program's memory must be read before the program goes on.
func (t *Table) Contents() []Content {
	var all []Content
	for inode, id := range t.memory {
		if take := t.sources[id]; take != nil {
			o := &t.Memory[id-1]
			all = append(all, Content{Memory: id, Size: int64(o.Size), inode: inode, name: o.Name, take: take})
		}
	}
	slices.SortFunc(all, func(a, b Content) int { return cmp.Compare(a.Memory, b.Memory) })
	return all
}

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
	InFlight     []InFlight // contents of objects
	Obstacles    obstacle.List

	objects map[Inode]image.MemoryID
	pipes   map[Inode]image.ObjectID
	sources map[image.MemoryID]*Handle
}

// InFlight is the content of an object at the checkpoint: bytes that were written to a pipe and not yet read.
type InFlight struct {
	Object  image.ObjectID
	Content []byte
}

// An Inode identifies a file of this machine, as in stat(2) and /proc/PID/maps.
type Inode struct {
	Device uint64
	Number uint64
}

// Object is the number of the memory object of an inode. A new inode gets the next number, and o describes it; o.ID
// is ignored.
//
// source is a handle of the object, or nil. The table may keep it until Close. Without a source only the object's
// mappings can be read, and o.Size covers only these. With a source, name, size and mode are exact.
func (t *Table) Object(inode Inode, o image.MemoryObject, source *Handle) image.MemoryID {
	id, known := t.objects[inode]
	if !known {
		if t.objects == nil {
			t.objects = make(map[Inode]image.MemoryID)
			t.sources = make(map[image.MemoryID]*Handle)
		}
		id = image.MemoryID(len(t.Memory) + 1)
		o.ID = id
		t.Memory = append(t.Memory, o)
		t.objects[inode] = id
	}
	if source != nil && t.sources[id] == nil {
		source.kept = true
		t.sources[id] = source
		m := &t.Memory[id-1]
		m.Name, m.Size, m.Mode = o.Name, o.Size, o.Mode
	}
	return id
}

// Close releases the handles of all sources. Preconditions: every member is still frozen, or none was frozen.
func (t *Table) Close() {
	for _, source := range t.sources {
		source.kept = false
		source.Close()
	}
}

// Known is the number of the memory object behind an inode, or 0.
func (t *Table) Known(inode Inode) image.MemoryID { return t.objects[inode] }

// HasSource tells whether a descriptor gives access to the whole content of an object.
func (t *Table) HasSource(id image.MemoryID) bool { return t.sources[id] != nil }

// Content is the content of a memory object that a descriptor refers to.
type Content struct {
	Memory image.MemoryID
	Size   int64
	inode  Inode
	name   string
	handle *Handle
}

// Open opens the content for reading.
func (c Content) Open() (*Source, error) {
	s, err := c.handle.Open(c.inode)
	if err != nil {
		return nil, fmt.Errorf("memory object %d: %s: %w", c.Memory, c.name, err)
	}
	return s, nil
}

// Contents lists the memory objects that can be read through a descriptor. They are not copy-on-write. Content that
// must match the program's memory must be read before the program goes on.
func (t *Table) Contents() []Content {
	var all []Content
	for inode, id := range t.objects {
		if source := t.sources[id]; source != nil {
			o := &t.Memory[id-1]
			all = append(all, Content{Memory: id, Size: int64(o.Size), inode: inode, name: o.Name, handle: source})
		}
	}
	slices.SortFunc(all, func(a, b Content) int { return cmp.Compare(a.Memory, b.Memory) })
	return all
}

package fd

import (
	"fmt"
	"os"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A Table collects the open file descriptions and the shared memory objects of a group, while
// its members are captured one after the other. The zero value is ready.
type Table struct {
	Descriptions []image.Description
	Memory       []image.MemoryObject
	Obstacles    obstacle.List

	objects map[Inode]image.MemoryID
	sources map[image.MemoryID]string
}

// An Inode names a file of this machine, as stat(2) does and as /proc/PID/maps does.
type Inode struct {
	Device uint64
	Number uint64
}

// Object gives the number of the memory object behind an inode. An inode that is new gets the
// next one and is described by o, whose ID is ignored. Source is a path that opens the object's content
// for reading as long as the member lives ("/proc/412/fd/7"), or empty: then only its mappings can be read,
// and o's size is what is known of them; a source tells name, size and mode for certain.
func (t *Table) Object(inode Inode, o image.MemoryObject, source string) image.MemoryID {
	id, known := t.objects[inode]
	if !known {
		if t.objects == nil {
			t.objects = make(map[Inode]image.MemoryID)
			t.sources = make(map[image.MemoryID]string)
		}
		id = image.MemoryID(len(t.Memory) + 1)
		o.ID = id
		t.Memory = append(t.Memory, o)
		t.objects[inode] = id
	}
	if source != "" && t.sources[id] == "" {
		t.sources[id] = source
		m := &t.Memory[id-1]
		m.Name, m.Size, m.Mode = o.Name, o.Size, o.Mode
	}
	return id
}

// Known is the number of the memory object behind an inode, or 0.
func (t *Table) Known(inode Inode) image.MemoryID { return t.objects[inode] }

// HasSource tells whether a descriptor leads to the whole content of an object.
func (t *Table) HasSource(id image.MemoryID) bool { return t.sources[id] != "" }

// Content is what has to be saved of a memory object that a descriptor refers to.
type Content struct {
	Memory image.MemoryID
	Size   int64
	source string
}

// Open opens the content for reading. The member must not have closed it yet: call it before it resumes.
func (c Content) Open() (*os.File, error) {
	f, err := os.Open(c.source)
	if err != nil {
		return nil, fmt.Errorf("memory object %d: %w", c.Memory, err)
	}
	return f, nil
}

// Contents lists the memory objects that can be read through a descriptor. Nothing
// copies them on write: what must agree with the program's memory is read before it resumes.
func (t *Table) Contents() []Content {
	var all []Content
	for _, o := range t.Memory {
		if source := t.sources[o.ID]; source != "" {
			all = append(all, Content{Memory: o.ID, Size: int64(o.Size), source: source})
		}
	}
	return all
}

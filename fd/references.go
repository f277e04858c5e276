package fd

import (
	"fmt"
	"slices"

	"crak.dev/crak/image"
)

// References are what a description, or an object, refers to.
type References struct {
	Descriptions []image.DescriptionID // such as the targets of an epoll instance
	Memory       []image.MemoryID
	Processes    []image.Pid // processes, threads and zombies of the group

	// Numbers are descriptor numbers that attach uses for a moment. A restart keeps them free until then.
	Numbers []int
}

// Refers returns what a description refers to. What its object refers to comes from RefersObject.
func Refers(d image.Description) References {
	k, err := kindNamed(d.Kind)
	if err != nil || k.refers == nil {
		return References{}
	}
	return k.refers(d)
}

// RefersObject returns what an object refers to.
func RefersObject(o image.Object) References {
	k, err := objectKindNamed(o.Kind)
	if err != nil || k.refers == nil {
		return References{}
	}
	return k.refers(o)
}

// Order returns the descriptions of a group so that each comes after those that it refers to. In a ring of references, such as a socket
// in its own queue, one of them comes before another one that it refers to.
func Order(g *image.Group) []image.Description {
	byID := make(map[image.DescriptionID]image.Description)
	for _, d := range g.Descriptions {
		byID[d.ID] = d
	}
	objects := make(map[image.ObjectID][]image.DescriptionID)
	for _, o := range g.Objects {
		objects[o.ID] = RefersObject(o).Descriptions
	}
	// path starts with a description of the list. Each further one is referred to by the one before it. left has the references of a
	// description that have not been followed yet. This is no recursion, because the sockets of an image may be in one another's queues at
	// any depth.
	type step struct {
		d    image.Description
		left []image.DescriptionID
	}
	all := make([]image.Description, 0, len(g.Descriptions))
	begun := make(map[image.DescriptionID]bool)
	var path []step
	begin := func(id image.DescriptionID) {
		if d, known := byID[id]; known && !begun[id] {
			begun[id] = true
			path = append(path, step{d, slices.Concat(Refers(d).Descriptions, objects[d.Object])})
		}
	}
	for _, d := range g.Descriptions {
		begin(d.ID)
		for len(path) > 0 {
			last := &path[len(path)-1]
			if len(last.left) == 0 {
				all = append(all, last.d)
				path = path[:len(path)-1]
				continue
			}
			next := last.left[0]
			last.left = last.left[1:]
			begin(next)
		}
	}
	return all
}

// CheckReferences makes sure that everything that descriptions and objects refer to is in the group, and that each has a known
// kind. The records decide what is referred to, so package image cannot check this.
func CheckReferences(g *image.Group) error {
	in := members{make(map[image.DescriptionID]bool), make(map[image.MemoryID]bool), make(map[image.Pid]bool)}
	for _, d := range g.Descriptions {
		in.descriptions[d.ID] = true
	}
	for _, m := range g.Memory {
		in.memory[m.ID] = true
	}
	for i := range g.Processes {
		for j := range g.Processes[i].Threads {
			in.processes[image.Pid(g.Processes[i].Threads[j].Parked.Tid)] = true
		}
	}
	for _, z := range g.Zombies {
		in.processes[z.Pid] = true
	}
	for _, o := range g.Objects {
		k, err := objectKindNamed(o.Kind)
		if err == nil {
			err = k.check(o)
		}
		if err == nil {
			err = in.have(RefersObject(o))
		}
		if err != nil {
			return fmt.Errorf("object %d: %w", o.ID, err)
		}
	}
	for _, d := range g.Descriptions {
		_, err := kindNamed(d.Kind)
		if err == nil {
			err = in.have(Refers(d))
		}
		if err != nil {
			return fmt.Errorf("description %d: %w", d.ID, err)
		}
	}
	return nil
}

// members are what a group has.
type members struct {
	descriptions map[image.DescriptionID]bool
	memory       map[image.MemoryID]bool
	processes    map[image.Pid]bool
}

func (in members) have(r References) error {
	for _, id := range r.Descriptions {
		if !in.descriptions[id] {
			return fmt.Errorf("refers to description %d, which the image does not have", id)
		}
	}
	for _, id := range r.Memory {
		if !in.memory[id] {
			return fmt.Errorf("refers to memory object %d, which the image does not have", id)
		}
	}
	for _, pid := range r.Processes {
		if !in.processes[pid] {
			return fmt.Errorf("refers to process %d, which the image does not have", pid)
		}
	}
	return nil
}

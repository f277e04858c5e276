package fd

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// Separate finds the descriptions that crak can make when the members exist already, and does not need any more when the members have
// them: nothing else refers to them, and neither the members' programs nor Commit use what crak has open. The descriptions of one
// pipe are one set, which is made together. Any other set has one description.
func Separate(g *image.Group, env *Env) (sets [][]image.Description) {
	env.Know(g)
	referred := make(map[image.DescriptionID]bool)
	note := func(all References) {
		for _, id := range all.Descriptions {
			referred[id] = true
		}
	}
	for _, o := range g.Objects {
		note(RefersObject(o))
	}
	for _, d := range g.Descriptions {
		note(Refers(d))
		for _, l := range d.Locks {
			if l.Type == "LEASE" { // the kernel gives a lease only if the file is open nowhere else, and opening it breaks the lease
				return nil
			}
		}
	}
	is, bound := make(map[image.DescriptionID]bool), make(map[image.ObjectID]bool)
	for _, d := range g.Descriptions {
		_, held := env.holders[d.ID]
		is[d.ID] = held && !referred[d.ID] && env.isSeparate(d)
		if !is[d.ID] || env.objects[d.Object].Kind != pipeObjects.name {
			bound[d.Object] = true
		}
	}
	pipes := make(map[image.ObjectID]int) // their sets
	for _, d := range g.Descriptions {
		at, known := pipes[d.Object]
		switch {
		case d.Object == 0 && is[d.ID], !known && !bound[d.Object]:
			pipes[d.Object] = len(sets)
			sets = append(sets, []image.Description{d})
		case !bound[d.Object]:
			sets[at] = append(sets[at], d)
		}
	}
	return sets
}

// isSeparate tells whether nothing in the record of a description ties it to others, to a member, or to Commit.
func (e *Env) isSeparate(d image.Description) bool {
	k, err := kindNamed(d.Kind)
	if err != nil || k.inherited || k.attach != nil || k.byMember != nil || len(d.Locks) > 0 {
		return false
	}
	if r := Refers(d); len(r.Descriptions)+len(r.Processes)+len(r.Numbers) > 0 {
		return false
	}
	if k != &regular || d.Flags&unix.O_PATH != 0 {
		return true
	}
	r, err := record[Regular](d)
	return err == nil && !e.Force && e.copyFor(r.File) == nil && (e.Files != Rewind || !writes(d))
}

// MakeSeparate makes the descriptions of a set that Separate has found.
func (e *Env) MakeSeparate(set []image.Description) ([]*os.File, error) {
	descriptions, byMember := e.descriptions, e.byMember
	defer func() { e.descriptions, e.byMember = descriptions, byMember }()
	files, err := MakeAll(set, e)
	if made := e.made[set[0].Object]; made != nil {
		made.close()
		delete(e.made, set[0].Object)
	}
	return files, err
}

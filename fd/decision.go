package fd

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A use says what the members of a group do with one file.
type use struct {
	writes  bool // a description or a shared mapping can write to it
	inPlace bool // it can overwrite what was there at the checkpoint
	mapped  bool
	lessers lessers
}

func (u use) and(other use) use {
	return use{u.writes || other.writes, u.inPlace || other.inPlace, u.mapped || other.mapped, u.lessers.and(other.lessers)}
}

func useOf(d image.Description, f image.File) use {
	if !writes(d) {
		return use{}
	}
	return use{writes: true, inPlace: d.Flags&unix.O_APPEND == 0 && d.Offset < f.Size}
}

func useOfMapping(m *image.Mapping) use {
	writes := m.Shared && m.Writable
	return use{writes: writes, inPlace: writes, mapped: true}
}

// Know records what the members of a group do with each file, through any descriptor or mapping. Call it before
// Check, MakeAll and the functions for mapped files: they treat a change of a file that the program writes to
// differently from a change of a file that it only reads.
func (e *Env) Know(g *image.Group) {
	e.uses, e.stretches = make(map[Inode]use), make(map[Inode][]stretch)
	if e.contents == nil {
		e.contents = make(map[Inode]Change)
	}
	e.holders = holdersOf(g)
	e.knowLessers(g)
	e.knowCopies(g)
	e.tmpfiles.know(g)
	e.objects = make(map[image.ObjectID]image.Object)
	for _, o := range g.Objects {
		e.objects[o.ID] = o
	}
	add := func(f image.File, u use) { e.uses[inodeOf(f)] = e.uses[inodeOf(f)].and(u) }
	for _, d := range g.Descriptions {
		if r, err := record[Regular](d); d.Kind == regular.name && err == nil {
			add(r.File, useOf(d, r.File))
			add(r.File, use{lessers: e.lessers[d.ID]})
		}
	}
	for _, p := range g.Processes {
		who := lessersOf(&p)
		e.foreground = e.foreground || p.Foreground
		for i := range p.Mappings {
			m := &p.Mappings[i]
			if m.File == nil {
				continue
			}
			u := useOfMapping(m)
			u.lessers = who
			add(*m.File, u)
			if s := stretchOf(m); u.writes && s.length > 0 {
				e.stretches[inodeOf(*m.File)] = append(e.stretches[inodeOf(*m.File)], s)
			}
		}
	}
}

func inodeOf(f image.File) Inode { return Inode{f.Device, f.Inode} }

// A decision says whether a restart uses a file, and how. It uses the file if there are no obstacles.
type decision struct {
	notice    string // tells the user of a restart that goes on; may be empty
	obstacles obstacle.List
	cut       bool // cut it back to its size at the checkpoint
	standIn   bool // it is gone: make another file in its place
	putBack   bool // put back the content that the image has; it is gone if standIn is set, too
}

// decide applies the policy to a regular file. own is what the caller does with the file: Know may not have been told
// of it.
func (e *Env) decide(c Comparison, own use) decision {
	c = e.content(c)
	u := own.and(e.uses[inodeOf(c.Want)])
	message := c.Want.Path + ": " + c.String()
	sameFormat := c.Change != Gone && c.Have.Mode&unix.S_IFMT == c.Want.Mode&unix.S_IFMT
	changed := c.Change == Grown || c.Change == Touched
	grown := u.writes && c.Change == Grown && e.Files == Rewind
	force, forced := e.Force, " (--force)"
	if c.Want.Accepted {
		force, grown, forced = true, false, " (--fd)"
	}
	if list := u.lessers.gain(c, unix.R_OK|choose(u.writes, uint32(unix.W_OK), 0)); len(list) > 0 {
		return decision{obstacles: list}
	}
	switch {
	case c.Change == Same:
		return decision{}
	case c.Change == Copied && e.copyFor(c.Want) != nil && e.copyFor(c.Want).begun: // crak has made it in the place of one that was gone
		return decision{}
	case u.writes && !force && e.copyFor(c.Want).leaksInto(c):
		return refused(c.Want.Path, c.String()+fmt.Sprintf(", and belongs to user %d now, who could read what the restart puts back", c.Have.UID),
			"remove that file, or give it to its owner again (chown)")
	case u.writes && e.copyFor(c.Want) != nil && !c.Want.Accepted && (sameFormat || errors.Is(c.Err, fs.ErrNotExist)):
		return decision{notice: message + "; put back as it was", putBack: true, standIn: c.Change == Gone}
	case errors.Is(c.Err, ErrLinked):
		return refused(c.Want.Path, c.String(), "restart with --path OLD=NEW, or mount the directory with the file at its old path (mount --bind)")
	case grown && !u.inPlace:
		return decision{notice: message + "; cut back", cut: true}
	case grown && force:
		return decision{notice: message + "; cut back" + forced, cut: true}
	case force && errors.Is(c.Err, fs.ErrNotExist):
		return decision{notice: message + "; " + standInWords(u) + forced, standIn: true}
	case force && sameFormat:
		return decision{notice: message + "; taken as it is" + forced}
	case e.Files == Strict:
		return refused(c.Want.Path, c.String(), "put the file back as it was, or restart without --files=strict")
	case c.Change == Copied:
		return decision{notice: message}
	case grown:
		return refused(c.Want.Path, c.String()+", and may have been written to in place as well: cutting it back is not enough",
			"put the file back as it was, or restart with --force to cut it back all the same")
	case u.writes && changed && e.Files == Rewind:
		return refused(c.Want.Path, c.String()+" without growing: what was overwritten cannot be brought back",
			"put the file back as it was, or restart with --force to take what is there")
	case u.writes && (changed || c.Change == Unseen):
		return decision{notice: message + "; taken as it is"}
	}
	return refused(c.Want.Path, c.String(), "put the file back as it was, or restart with "+
		choose(c.Change == Gone, "--path OLD=NEW if it has moved, or with --force to go on without it", "--force to take what is there"))
}

func refused(what, why, do string) decision {
	return decision{obstacles: obstacle.List{{What: what, Why: why, Do: do}}}
}

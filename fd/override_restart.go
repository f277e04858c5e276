package fd

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// Apply changes what the descriptors of a group are open on in a restart. A description for which the user has made a choice is
// replaced in all members that have it open.
func (o Overrides) Apply(g *image.Group) error {
	if len(o) == 0 {
		return nil
	}
	r := replacing{group: g, choices: o, other: make(map[replacement]image.DescriptionID), of: make(map[image.DescriptionID]image.Description)}
	for _, d := range g.Descriptions {
		r.of[d.ID] = d
		r.last = max(r.last, d.ID)
	}
	r.objects = make(map[image.ObjectID]int)
	for i, o := range g.Objects {
		r.objects[o.ID] = i
	}
	for i := range g.Processes {
		p := &g.Processes[i]
		var kept []image.Descriptor
		for _, d := range p.Descriptors {
			keep, err := r.descriptor(&d)
			if err != nil {
				return fmt.Errorf("pid %d fd %d: %w", p.Pid, d.Fd, err)
			}
			if keep {
				kept = append(kept, d)
			}
		}
		p.Descriptors = kept
	}
	for _, c := range o {
		if c.Number >= 0 && !r.used[c.Number] {
			return fmt.Errorf("fd %d: not open in the image, so --fd %s=%s has no effect", c.Number, c.which(), c.Instead)
		}
	}
	return r.dropUnused()
}

// replacing is the state of one call of Apply.
type replacing struct {
	group   *image.Group
	choices Overrides
	of      map[image.DescriptionID]image.Description
	other   map[replacement]image.DescriptionID // the new descriptions
	objects map[image.ObjectID]int              // where each is in the group
	last    image.DescriptionID
	used    map[int]bool
	chosen  bool // a TCP connection changes, so epoll instances have something to report
}

// A replacement of a description is made once. So descriptors that shared the description share the replacement.
type replacement struct {
	old     image.DescriptionID
	instead Override
}

// descriptor applies the choices to a descriptor. It returns false if the descriptor is left out.
func (r *replacing) descriptor(d *image.Descriptor) (keep bool, err error) {
	old, known := r.of[d.Description]
	if !known {
		return true, nil // the check of the image refuses it
	}
	instead := r.choices.ofNumber(d.Fd)
	if instead == "" {
		instead = r.ofKind(old)
	} else {
		if r.used == nil {
			r.used = make(map[int]bool)
		}
		r.used[d.Fd] = true
	}
	switch {
	case instead == "":
		return true, nil
	case instead == LeaveOut:
		return false, nil
	case instead.keepsSocket():
		return true, r.connection(old, instead)
	case instead == Ignore:
		return true, r.accept(old)
	}
	key := replacement{old.ID, instead}
	if id, made := r.other[key]; made {
		d.Description = id
		return true, nil
	}
	other, err := inPlace(old, instead)
	if err != nil {
		return false, err
	}
	r.last++
	other.ID = r.last
	r.group.Descriptions = append(r.group.Descriptions, other)
	r.other[key], d.Description = other.ID, other.ID
	return true, nil
}

// ofKind is the choice for the kind of a description, or "".
func (r *replacing) ofKind(d image.Description) Override {
	o := r.object(d.Object)
	if end := endOfObject(o); end.address != "" {
		instead := r.choices.ofKind(d.Kind, end.address)
		if o.Kind != tcpObjects.name {
			return instead
		}
		if end.connected {
			return instead.connectionChoice()
		}
		if instead.keepsSocket() {
			return ""
		}
		return instead
	}
	instead := r.choices.ofKind(d.Kind, Describe(d))
	if instead == "" && d.Kind == pipe.name {
		instead = r.choices.ofKind(d.Kind, outside)
	}
	if instead.keepsSocket() {
		return ""
	}
	return instead
}

// object is an object of the group, or a zero one.
func (r *replacing) object(id image.ObjectID) image.Object {
	if at, known := r.objects[id]; known {
		return r.group.Objects[at]
	}
	return image.Object{}
}

// endOfObject is what a socket of TCP or UDP in an image is open on, as patterns of --fd see it.
func endOfObject(o image.Object) inetEnd {
	k, err := objectKindNamed(o.Kind)
	if err != nil || k.end == nil {
		return inetEnd{}
	}
	return k.end(o)
}

// accept has a restart take a regular file as it is, whatever has become of it, as with --force.
func (r *replacing) accept(d image.Description) error {
	if d.Kind != regular.name {
		return fmt.Errorf("--fd: ignore is for regular files, and not for a %s", d.Kind)
	}
	file, err := record[Regular](d)
	if err != nil {
		return err
	}
	file.File.Accepted = true
	if d.Record, err = image.MarshalText(&file); err != nil {
		return err
	}
	at := slices.IndexFunc(r.group.Descriptions, func(other image.Description) bool { return other.ID == d.ID })
	r.group.Descriptions[at] = d
	return nil
}

// inPlace is a description of /dev/null or of the file at a path. It has the access mode of the description that it replaces, and in a
// regular file also its offset, or the size of the file if that is smaller.
func inPlace(old image.Description, instead Override) (image.Description, error) {
	if n := instead.standard(); n >= 0 {
		d := image.Description{Kind: pipe.name, Flags: old.Flags & (unix.O_ACCMODE | unix.O_NONBLOCK)}
		text, err := image.MarshalText(&Pipe{Standard: n})
		d.Record = text
		return d, cmp.Or(fitsStandard(old.Flags, instead), err)
	}
	path := string(instead)
	if instead == DevNull {
		path = theNullDevice().Path
	}
	path, err := filepath.EvalSymlinks(path) // the user may have typed a path with links, and find refuses links
	if err != nil {
		return old, err
	}
	f, st, err := find(path)
	if err != nil {
		return old, err
	}
	f.Close()
	d := image.Description{Flags: old.Flags & (unix.O_ACCMODE | unix.O_APPEND | unix.O_NONBLOCK | unix.O_SYNC)}
	o := &open{stat: *st, link: path, flags: d.Flags, handle: &Handle{fd: -1}}
	var record any
	switch k := kindOf(o); k {
	case &regular:
		d.Kind, record = k.name, &Regular{File: o.file(path)}
		d.Offset = min(old.Offset, st.Size)
	case &device:
		_, minor := o.rdev()
		d.Kind, record = k.name, &Device{Path: path, Minor: minor}
	default:
		return old, fmt.Errorf("--fd: %s is neither a regular file nor a device like /dev/null", path)
	}
	d.Record, err = image.MarshalText(record)
	return d, err
}

// dropUnused removes the descriptions that no descriptor has any more and to which nothing else refers. It also removes the
// registrations of these descriptions in epoll instances.
func (r *replacing) dropUnused() error {
	used := make(map[image.DescriptionID]bool)
	for i := range r.group.Processes {
		for _, d := range r.group.Processes[i].Descriptors {
			used[d.Description] = true
		}
	}
	for _, o := range r.group.Objects {
		for _, id := range RefersObject(o).Descriptions {
			used[id] = true
		}
	}
	for _, d := range r.group.Descriptions {
		if k, err := kindNamed(d.Kind); err == nil && k.forget == nil && used[d.ID] {
			for _, id := range Refers(d).Descriptions {
				used[id] = true
			}
		}
	}
	for i := range r.group.Descriptions {
		d := &r.group.Descriptions[i]
		if r.chosen {
			if err := clearQuiet(d); err != nil {
				return err
			}
		}
		if k, err := kindNamed(d.Kind); err == nil && k.forget != nil {
			if err := k.forget(d, func(id image.DescriptionID) bool { return !used[id] }); err != nil {
				return err
			}
		}
	}
	r.group.Descriptions = slices.DeleteFunc(r.group.Descriptions, func(d image.Description) bool { return !used[d.ID] })
	return nil
}

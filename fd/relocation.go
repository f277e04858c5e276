package fd

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"crak.dev/crak/image"
)

// A Relocation says where files of an image are now: what was below the directory Old is below New. Both are absolute paths
// without a slash at the end. Either may also be the path of a single file.
type Relocation struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// Relocations are the choices of the user. Each is a flag on the command line: "/home/ann=/scratch/ann".
type Relocations []Relocation

// Set adds a choice.
func (r *Relocations) Set(text string) error {
	before, after, found := strings.Cut(text, "=")
	if !found || !filepath.IsAbs(before) || !filepath.IsAbs(after) {
		return fmt.Errorf("%q is not OLD=NEW with two absolute paths", text)
	}
	if real, err := filepath.EvalSymlinks(after); err == nil {
		after = real // a restart follows no links in the paths of an image
	}
	one := Relocation{filepath.Clean(before), filepath.Clean(after)}
	for _, other := range *r {
		if other.Old == one.Old {
			return fmt.Errorf("%s is relocated twice, to %s and to %s", one.Old, other.New, one.New)
		}
	}
	*r = append(*r, one)
	return nil
}

func (r *Relocations) String() string {
	var all []string
	for _, one := range *r {
		all = append(all, one.Old+"="+one.New)
	}
	return strings.Join(all, ",")
}

// Type is what the help calls the value.
func (r *Relocations) Type() string { return "OLD=NEW" }

// path applies the choice with the longest Old to a path. The result tells whether there is a choice for this path.
func (r Relocations) path(path *string) bool {
	var best *Relocation
	for i := range r {
		if below(*path, r[i].Old) && (best == nil || len(r[i].Old) > len(best.Old)) {
			best = &r[i]
		}
	}
	if best == nil {
		return false
	}
	rest := strings.TrimPrefix(*path, best.Old)
	if rest == deletedMark {
		*path = best.New + rest
	} else {
		*path = filepath.Join(best.New, rest)
	}
	return true
}

// file changes the path of a file.
func (r Relocations) file(f *image.File) { f.Relocated = r.path(&f.Path) || f.Relocated }

// below tells whether a path is that of a directory, or of something in it.
func below(path, directory string) bool {
	rest, found := strings.CutPrefix(path, directory)
	return found && (rest == "" || rest[0] == '/' || directory == "/" || rest == deletedMark)
}

// Apply changes all paths of a group at which a restart looks for files: working directories, executables, mapped files, and what
// the descriptors are open on. It does not change what the program has in its memory.
func (r Relocations) Apply(g *image.Group) error {
	if len(r) == 0 {
		return nil
	}
	for i := range g.Processes {
		p := &g.Processes[i]
		r.path(&p.Cwd)
		r.file(&p.Executable)
		for j := range p.Mappings {
			if f := p.Mappings[j].File; f != nil {
				r.file(f)
			}
		}
	}
	for i := range g.Descriptions {
		d := &g.Descriptions[i]
		if k, err := kindNamed(d.Kind); err == nil && k.paths != nil {
			if err := rewrite(&d.Record, k.paths, r); err != nil {
				return fmt.Errorf("description %d: record of a %s: %w", d.ID, d.Kind, err)
			}
		}
	}
	for i := range g.Objects {
		o := &g.Objects[i]
		if k, err := objectKindNamed(o.Kind); err == nil && k.paths != nil {
			if err := rewrite(&o.Record, k.paths, r); err != nil {
				return fmt.Errorf("object %d: record of a %s: %w", o.ID, o.Kind, err)
			}
		}
	}
	return nil
}

// pathsOf changes each path in a record at which a restart looks for a file, and returns the changed record, a pointer.
type pathsOf func(record json.RawMessage, to Relocations) (any, error)

// pathsIn makes a pathsOf for records of type T.
func pathsIn[T any](visit func(r *T, to Relocations)) pathsOf {
	return func(text json.RawMessage, to Relocations) (any, error) {
		r, err := decode[T](text)
		visit(&r, to)
		return &r, err
	}
}

func rewrite(text *json.RawMessage, paths pathsOf, to Relocations) error {
	r, err := paths(*text, to)
	if err == nil {
		*text, err = image.MarshalText(r)
	}
	return err
}

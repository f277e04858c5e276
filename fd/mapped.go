package fd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// CheckMapped finds every obstacle of OpenMapped, and makes nothing. Preconditions: m is of kind image.MappingFile.
func (e *Env) CheckMapped(m *image.Mapping) obstacle.List {
	e.Moved()
	decided := e.decide(CompareFile(*m.File), useOfMapping(m))
	e.Tell(decided.notice)
	return decided.obstacles
}

// OpenMapped opens the file of a mapping. It opens the file for writing if the program can write to it through the
// mapping.
func (e *Env) OpenMapped(m *image.Mapping) (*os.File, error) {
	e.Moved()
	u := useOfMapping(m)
	flags := uint32(unix.O_RDONLY)
	if u.writes {
		flags = unix.O_RDWR
	}
	return e.open(*m.File, flags, u)
}

// CheckExecutable checks that another process may have the file that OpenExecutable has opened for one that executes the same file.
func (e *Env) CheckExecutable(p *image.Process) error {
	if len(lessersOf(p)) == 0 {
		return nil
	}
	f, err := e.OpenExecutable(p)
	if err == nil {
		f.Close()
	}
	return err
}

// OpenExecutable opens the file that a process executes. It must be the same file or a copy.
func (e *Env) OpenExecutable(p *image.Process) (*os.File, error) {
	want := p.Executable
	return openAt(want.Path, unix.O_RDONLY, func(st *unix.Stat_t) error {
		c := compare(want, st)
		if list := lessersOf(p).gain(c, unix.X_OK); len(list) > 0 {
			return list
		}
		switch {
		case c.Change == Same, c.Change == Copied, e.Force:
			return nil
		default:
			return errors.New(c.String())
		}
	})
}

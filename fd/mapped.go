package fd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// CheckMapped finds what would keep OpenMapped from working, and makes nothing.
// Preconditions: m is of kind image.MappingFile.
func (e *Env) CheckMapped(m *image.Mapping) obstacle.List {
	decided := e.decide(CompareFile(*m.File), useOfMapping(m))
	e.Tell(decided.notice)
	return decided.obstacles
}

// OpenMapped opens the file behind a mapping: for writing, too, where the program can write through it.
func (e *Env) OpenMapped(m *image.Mapping) (*os.File, error) {
	u := useOfMapping(m)
	flags := uint32(unix.O_RDONLY)
	if u.writes {
		flags = unix.O_RDWR
	}
	return e.open(*m.File, flags, u)
}

// OpenExecutable opens the file that a process runs, if it is the same one, or a copy.
func (e *Env) OpenExecutable(want image.File) (*os.File, error) {
	return openAt(want.Path, unix.O_RDONLY, func(st *unix.Stat_t) error {
		switch c := compare(want, st); {
		case c.Change == Same, c.Change == Copied, e.Force:
			return nil
		default:
			return errors.New(c.String())
		}
	})
}

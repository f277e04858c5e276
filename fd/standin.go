package fd

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// standIn makes a file in the place of a missing one. If the image has a copy of it, the file gets the content of the copy. Otherwise
// --force has asked for the file. If the program writes to the file, it gets a name;
// otherwise it has none. All descriptions and mappings of the missing file share it. It is empty. If the file is
// mapped, it has its old size and zeroes as content: access to a mapping beyond the end of its file raises SIGBUS.
func (e *Env) standIn(want image.File, flags uint32, own use) (*os.File, error) {
	base := e.standIns[want.Path]
	if base == nil {
		var err error
		if base, err = e.makeStandIn(want, own.and(e.uses[inodeOf(want)])); err != nil {
			return nil, err
		}
		if e.standIns == nil {
			e.standIns = make(map[string]*os.File)
		}
		e.standIns[want.Path] = base
	}
	return reopenOurs(base, flags)
}

func (e *Env) makeStandIn(want image.File, u use) (*os.File, error) {
	size := int64(0)
	c := e.copyFor(want)
	if u.mapped || c != nil {
		size = want.Size
	}
	if u.writes {
		dir, err := OpenDirectory(filepath.Dir(want.Path))
		var f *os.File
		if err == nil {
			e.closeLater = append(e.closeLater, dir)
			f, err = openIn(dir, filepath.Base(want.Path), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, want.Mode&0o777)
		}
		if err == nil {
			e.undo.add(func() { _ = unix.Unlinkat(int(dir.Fd()), filepath.Base(want.Path), 0) })
			if err = f.Truncate(size); err == nil && c != nil {
				err = e.fillCopy(c, f)
			}
			if err != nil {
				f.Close()
			}
			return f, err
		}
		if c != nil {
			return nil, err
		}
	}
	o := image.MemoryObject{Kind: image.MemoryFile, Name: want.Path, Size: uint64(size), Mode: want.Mode & 0o7777}
	f, err := e.MakeUnlinked(o)
	if err != nil {
		return nil, err
	}
	if err := OwnUnlinked(f, o); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// standInWords describes the new file.
func standInWords(u use) string {
	kind := "an empty file"
	if u.mapped {
		kind = "a file of zeroes"
	}
	return kind + " takes its place"
}

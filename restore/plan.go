package restore

import (
	"io"
	"os"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/compile"
)

// Plan prints the programs that a restart of the image on this machine would run.
func Plan(w io.Writer, img *image.Image) error {
	mappings, err := proc.Read(os.Getpid(), "maps", proc.Maps)
	if err != nil {
		return err
	}
	status, err := proc.Read(os.Getpid(), "status", proc.Status)
	if err != nil {
		return err
	}
	target, processes := compile.Plan(img.Group)
	for _, p := range processes {
		if err = findContent(img, p); err != nil {
			return err
		}
		if _, removed := removedDirectory(p.Cwd); !removed {
			p.Removed = -1
		}
	}
	target.Mode = compile.Mode{Group: compile.OwnGroup, First: isFirst(img.Group)}
	describeMachine(target, mappings, &status, now)
	out, err := compile.Programs(target, processes)
	if err != nil {
		return err
	}
	return out.Set.Print(w)
}

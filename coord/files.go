package coord

import (
	"fmt"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
)

// copiedMost is how many bytes of files are copied while a program that runs on is frozen. A copy takes a second or two for each
// GiB.
const copiedMost = 1 << 30

// saveFiles saves the files of --with-files. Preconditions: all members are frozen.
func (c *checkpoint) saveFiles() (err error) {
	if c.files, err = dump.OpenFiles(c.writer, &c.table); err != nil {
		return err
	}
	if total, largest := c.files.ToCopy(); total > copiedMost && !c.Kill {
		return obstacle.List{{What: fmt.Sprintf("copies of files (--with-files): %d MiB, of which %s has %d", total>>20, largest.Path, largest.Data>>20),
			Why: fmt.Sprintf("the program would stand still while they are copied; the limit is %d MiB", copiedMost>>20),
			Do:  "use --kill, make the image in the same file system if that is XFS or Btrfs, or make it without --with-files"}}
	}
	return c.files.Copy()
}

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
func (c *checkpoint) saveFiles() error {
	if list := c.tooLong(); !c.Kill && len(list) > 0 {
		return list
	}
	return dump.SaveFiles(c.writer, &c.table)
}

// tooLong finds out whether it would take too long to copy the files.
func (c *checkpoint) tooLong() obstacle.List {
	total, largest := int64(0), int64(0)
	path := ""
	for _, f := range c.table.Copied {
		total += f.Data
		if f.Data > largest {
			largest, path = f.Data, f.Path
		}
	}
	if total <= copiedMost {
		return nil
	}
	return obstacle.List{{What: fmt.Sprintf("copies of files (--with-files): %d MiB, of which %s has %d", total>>20, path, largest>>20),
		Why: fmt.Sprintf("the program would stand still while they are copied; the limit is %d MiB", copiedMost>>20),
		Do:  "use --kill, or make the checkpoint without --with-files"}}
}

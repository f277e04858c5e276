package dump

import (
	"fmt"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Files are the files of which the image gets a copy (--with-files). If the file system can, a copy shares the blocks of the file
// (reflink): that takes no time that depends on the size. Otherwise the content is copied while the members are frozen.
type Files struct {
	writer *image.Writer
	copied []openFile
	cloned []openFile
}

type openFile struct {
	fd.CopiedFile
	source *fd.Source
	at     int64 // of the clone, in the image
}

// OpenFiles opens the files of a table, and clones those that the file system can clone. Preconditions: all members are frozen.
func OpenFiles(w *image.Writer, table *fd.Table) (*Files, error) {
	all := &Files{writer: w}
	for _, c := range table.Copied {
		source, err := c.Open()
		if err != nil {
			all.Close()
			return nil, obstacle.Obstacle{What: c.Path, Why: fmt.Sprintf("cannot be copied into the image: %v", err),
				Do: "make the checkpoint without --with-files, or give its user permission to read the file"}
		}
		f := openFile{CopiedFile: c, source: source}
		if at, ok := w.Clone(source.Fd(), c.Size); ok {
			f.at = at
			all.cloned = append(all.cloned, f)
		} else {
			all.copied = append(all.copied, f)
		}
	}
	return all, nil
}

// ToCopy is how many bytes Copy copies, and the largest of the files.
func (f *Files) ToCopy() (total int64, largest fd.CopiedFile) {
	for _, c := range f.copied {
		total += c.Data
		if c.Data > largest.Data {
			largest = c.CopiedFile
		}
	}
	return total, largest
}

// Copy copies the files that could not be cloned. Preconditions: all members are frozen.
func (f *Files) Copy() error {
	for _, c := range f.copied {
		if err := saveFile(f.writer, image.ObjectSpace(c.Object), c.source, uint64(c.Size)); err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
	}
	return nil
}

// Record adds the clones to the index of the image. The members may run: a clone does not change.
func (f *Files) Record() error {
	for _, c := range f.cloned {
		if err := f.writer.PutCloned(image.ObjectSpace(c.Object), c.at, c.Size); err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
	}
	return nil
}

// Close closes the files. f may be nil.
func (f *Files) Close() {
	if f == nil {
		return
	}
	for _, all := range [][]openFile{f.copied, f.cloned} {
		for _, c := range all {
			c.source.Close()
		}
	}
}

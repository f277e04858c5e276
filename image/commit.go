package image

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/cause"
)

// Commit completes the image, renames it to its final name and returns its path. The image exists only after the rename, and is
// then complete. The caller fills in the fields of m about the program, the host and the options. After an error the caller
// calls Abort.
func (w *Writer) Commit(m Manifest, g *Group) (path string, err error) {
	w.stop()
	if err := w.Release(); err != nil {
		return "", err
	}
	if err := w.failed.get(); err != nil {
		return "", err
	}
	if err := w.finish(m, g); err != nil {
		return "", advise(fmt.Errorf("image %q: %w", w.Path(), err))
	}
	path = w.Path()
	w.pages.Close()
	w.idx.Close()
	w.place.close()
	w.pages, w.idx, w.place = nil, nil, &place{path: path}
	return path, nil
}

// syncFile is a variable so that a test can make it slow.
var syncFile = (*os.File).Sync

func (w *Writer) finish(m Manifest, g *Group) error {
	begun := time.Now()
	if err := w.index.end(); err != nil {
		return fmt.Errorf("%s: %w", indexFile, cause.Of(err))
	}
	if err := cmp.Or(g.Check(), m.matchRoot(g)); err != nil {
		return fmt.Errorf("%s: %w", groupFile, err)
	}
	group, err := w.writeGroup(g)
	if err != nil {
		return err
	}
	processes, err := w.place.writeProcesses(g.Processes)
	if err != nil {
		return err
	}
	index, err := w.checkIndex(g)
	if err != nil {
		return err
	}

	settle(w.pages, w.size, func(n uint64) { w.settled.Add(n) })
	for _, f := range []*os.File{w.pages, w.idx} {
		if err := syncFile(f); err != nil {
			return err
		}
	}
	m.Format, m.Crak, m.Sequence = Format, Version, w.place.sequence
	if m.Created.IsZero() {
		m.Created = time.Now().UTC()
	}
	m.Options.Compress = w.options.Compress
	t := w.index.totals
	m.Statistics.RawBytes, m.Statistics.StoredBytes, m.Statistics.Frames = t.Raw, t.Stored, t.Frames
	m.Files = []FileSum{group, processes, index, {Name: pagesFile, Size: w.size}}
	if m.Statistics.TotalNs != 0 {
		m.Statistics.TotalNs += time.Since(begun).Nanoseconds() // includes the syncs
	}
	text, err := m.encode()
	if err == nil {
		_, err = decodeManifest(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	if _, err := w.place.write(manifestFile, text); err != nil {
		return err
	}
	if err := w.place.dir.Sync(); err != nil {
		return err
	}
	if w.options.Confirm != nil {
		if err := w.options.Confirm(); err != nil {
			return err
		}
	}
	return w.place.publish()
}

// writeGroup writes group.json, without the processes.
func (w *Writer) writeGroup(g *Group) (FileSum, error) {
	shared := *g
	shared.Processes = nil
	text, err := encodeJSON(&shared)
	if err == nil {
		_, err = decodeGroup(text) // Open decodes it too: Commit must not accept an image that Open refuses
	}
	if err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", groupFile, err)
	}
	return w.place.write(groupFile, text)
}

// checkIndex reads pages.idx as Open does, and returns its sum: Commit must not accept an image that Open refuses.
func (w *Writer) checkIndex(g *Group) (FileSum, error) {
	sum := sha256.New()
	end, err := w.idx.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = scanIndex(io.TeeReader(io.NewSectionReader(w.idx, 0, end), sum), w.size, g)
	}
	if err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", indexFile, err)
	}
	return FileSum{indexFile, end, hex.EncodeToString(sum.Sum(nil))}, nil
}

// write creates a small file of the image, writes it and syncs it.
func (p *place) write(name string, text []byte) (FileSum, error) {
	f, err := p.create(name)
	if err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", name, err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = syncFile(f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", name, cause.Of(err))
	}
	sum := sha256.Sum256(text)
	return FileSum{name, int64(len(text)), hex.EncodeToString(sum[:])}, nil
}

// publish renames the image to its final name and points latest to it. If the second step fails, publish undoes the first.
func (p *place) publish() error {
	at := int(p.parent.Fd())
	if err := renameNew(at, p.hidden, p.name); err != nil {
		return &fs.PathError{Op: "rename", Path: p.final(), Err: err}
	}
	err := p.pointLatest()
	if err == nil {
		err = p.parent.Sync()
	}
	if err == nil && p.made != "" {
		err = syncParent(p.parent)
	}
	if err != nil {
		unix.Renameat(at, p.name, at, p.hidden)
	}
	return err
}

// pointLatest replaces the symlink atomically.
func (p *place) pointLatest() error {
	if p.sequence == 0 {
		return nil
	}
	at := int(p.parent.Fd())
	temporary := "." + latestLink + "." + p.name
	unix.Unlinkat(at, temporary, 0)
	err := unix.Symlinkat(p.name, at, temporary)
	if err == nil {
		err = unix.Renameat(at, temporary, at, latestLink)
	}
	if err != nil {
		unix.Unlinkat(at, temporary, 0)
		return &fs.PathError{Op: "symlink", Path: latestLink, Err: err}
	}
	return nil
}

// close closes the directories. This releases the lock.
func (p *place) close() {
	p.dir.Close()
	p.parent.Close()
}

// renameNew renames, and fails if the new name exists.
func renameNew(at int, from, to string) error {
	err := unix.Renameat2(at, from, at, to, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		// The file system does not support RENAME_NOREPLACE. A plain rename fails if the new name is a directory that is not empty.
		err = unix.Renameat(at, from, at, to)
	}
	return err
}

// syncParent syncs the parent directory of dir.
func syncParent(dir *os.File) error {
	up, err := openDir(dir, "..")
	if err != nil {
		return err
	}
	defer up.Close()
	return up.Sync()
}

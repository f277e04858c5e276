package image

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"crak.dev/crak/internal/cause"
)

// Options tell where an image is made and how it is stored.
type Options struct {
	Program string   // comm of the root: the image is put into <Program>.<Pid>/<sequence>
	Pid     Pid      // of the root
	Output  string   // if not empty, the path of the image instead of the above
	Parent  *os.File // the directory of Output, if it is open already, or nil

	Compress bool // with zstd, where that makes a frame smaller
	Workers  int  // 0: one a processor

	Confirm func() error // called just before the commit, may be nil; an error prevents the commit
}

// maxWorkers bounds the memory of a Writer and of a Fill: about 3 MiB a worker.
const maxWorkers = 16

// A Writer makes an image. Several goroutines may call Put and PutSync at the same time. Only one may call the other methods, and only
// while no Put runs.
type Writer struct {
	options Options
	place   *place
	pages   *os.File
	idx     *os.File

	jobs    chan job
	workers sync.WaitGroup
	stopped bool          // jobs is closed
	done    atomic.Uint64 // bytes of content
	settled atomic.Uint64 // bytes that Commit has seen on the disk

	mu     sync.Mutex
	index  *indexWriter
	size   int64 // of pages.bin, as reserved so far
	queue  queue
	failed failure

	heldIndex *heldFile
}

// failure is the first error of many goroutines.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Create begins an image under the directory dir, or at o.Output. Until Commit there is only a hidden directory. The caller
// must call Commit or Abort.
func Create(dir string, o Options) (*Writer, error) {
	var err error
	w := &Writer{options: o}
	if o.Output != "" {
		if o.Output, err = filepath.Abs(o.Output); err != nil {
			return nil, err
		}
		w.place, err = newPlaceAt(o.Output, o.Parent)
	} else {
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
		w.place, err = newPlace(dir, DirName(o.Program, o.Pid))
	}
	if err != nil {
		return nil, advise(fmt.Errorf("new image: %w", err))
	}
	if w.pages, err = w.place.create(pagesFile); err == nil {
		w.idx, err = w.place.create(indexFile)
	}
	if err != nil {
		path := w.place.path
		w.Abort()
		return nil, advise(fmt.Errorf("new image in %q: %w", path, err))
	}
	w.heldIndex = &heldFile{file: w.idx}
	w.index = newIndexWriter(w.heldIndex)
	w.start()
	return w, nil
}

func (w *Writer) start() {
	n := w.options.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	n = min(n, maxWorkers)
	w.jobs = make(chan job, n)
	for range n {
		w.workers.Go(func() {
			k := newPacker(w)
			for j := range w.jobs {
				k.run(j)
			}
		})
	}
}

// Path is where the image will be.
func (w *Writer) Path() string { return w.place.final() }

// Progress counts the bytes of content that were processed, including zeroes.
func (w *Writer) Progress() (done uint64) { return w.done.Load() }

// Advance counts the bytes that were read and the bytes that were written to the disk. It changes only while the writer makes
// progress.
func (w *Writer) Advance() uint64 { return w.done.Load() + w.settled.Load() }

// Put saves the content of runs. It passes the work to other goroutines and may return before they have read the content. They call
// fill, several at the same time, until Commit returns. fill reads the content of the given runs, one after the other, into dst. These
// runs are parts of the runs of Put. Put leaves out zero pages, except in runs with KeepZero.
//
// The error is the first one of the whole image. After an error nothing more is saved.
func (w *Writer) Put(space Space, runs []Run, fill func(dst []byte, runs []Run) error) error {
	return w.PutLike(nil, space, runs, fill, nil)
}

// PutSync is Put for content that changes when the program runs. When it returns, all of the content has been read and written
// to the page cache, or to memory after Hold. It does not compress, and does most of the work itself, to be fast.
func (w *Writer) PutSync(space Space, runs []Run, fill func(dst []byte, runs []Run) error) error {
	return w.PutLikeSync(nil, space, runs, fill, new(sync.WaitGroup))
}

// PutLikeSync is PutSync, but does not store pages again that are the same in like. like may be nil. It waits until pending has no
// more parts.
func (w *Writer) PutLikeSync(like *Like, space Space, runs []Run, fill func(dst []byte, runs []Run) error, pending *sync.WaitGroup) error {
	work := func(j job) { w.jobs <- j }
	if total := runBytes(runs); total <= frameBytes {
		k := &packer{w: w, raw: make([]byte, total)}
		work = k.run
	}
	err := w.put(job{space: space, fill: fill, like: like, pending: pending}, runs, work)
	pending.Wait()
	if err != nil {
		return err
	}
	return w.failed.get()
}

func (w *Writer) put(j job, runs []Run, work func(job)) error {
	if _, _, err := j.space.split(); err != nil {
		w.failed.set(err)
	}
	return cut(runs, func(part []Run) error {
		if err := w.failed.get(); err != nil {
			return err
		}
		j.runs = part
		if j.pending != nil {
			j.pending.Add(1)
		}
		work(j)
		return nil
	})
}

// append stores a frame. It reserves room at the end of pages.bin, adds the frame to the index, and writes the data.
func (w *Writer) append(f *Frame, data []byte) error {
	f.Stored = uint32(len(data))
	w.mu.Lock()
	if len(data) > 0 {
		f.Offset = w.size
		w.size += int64(len(data))
	}
	err := w.index.frame(f)
	var room []byte
	if w.queue.holding && len(data) > 0 {
		room = w.queue.room(f.Offset, len(data))
	}
	w.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	if room != nil || len(data) == 0 {
		copy(room, data)
		return nil
	}
	return w.store(data, f.Offset)
}

// store writes to pages.bin.
func (w *Writer) store(data []byte, offset int64) error {
	if _, err := w.pages.WriteAt(data, offset); err != nil {
		return fmt.Errorf("%s: %w", pagesFile, cause.Of(err))
	}
	flushEarly(w.pages, offset, int64(len(data)))
	return nil
}

// stop waits for the workers to finish what is queued.
func (w *Writer) stop() {
	if !w.stopped && w.jobs != nil {
		close(w.jobs)
		w.workers.Wait()
	}
	w.stopped = true
}

// GiveUp makes this and every later Put, and Commit, fail with err. It may be called at any time.
func (w *Writer) GiveUp(err error) { w.failed.set(err) }

// Abort gives up the image and removes everything that was written. After a successful Commit it does nothing.
func (w *Writer) Abort() {
	w.failed.set(fmt.Errorf("image %q: given up", w.Path()))
	w.stop()
	for _, f := range []*os.File{w.pages, w.idx} {
		if f != nil {
			f.Close()
		}
	}
	w.pages, w.idx = nil, nil
	w.queue.drop()
	w.place.remove()
}

package fd

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
)

// handles takes handles of descriptions, one after the other.
type handles struct {
	taker *taker // of the member from which the last handle was taken
	from  *Member
}

// take takes a handle of a description for the time of its capture, or finds out that the descriptor has another description now
// (open.swapped). Files and directories with a path need no handle.
func (h *handles) take(o *open) error {
	if o.member.Calls == nil || o.isPlain() || o.swapped {
		return nil
	}
	if h.from != o.member {
		h.close()
		h.taker, h.from = newTaker(o.member), o.member
	}
	taken, err := h.taker.takeAgain(o)
	switch {
	case errors.Is(err, errSwapped) || errors.Is(err, unix.ENOENT):
		o.swapped = true
		return nil
	case err != nil:
		return err
	}
	o.handle = taken
	return nil
}

// with calls a function while a description has a handle.
func (h *handles) with(o *open, do func() error) error {
	if err := h.take(o); err != nil {
		return err
	}
	defer o.release()
	if o.swapped {
		return o.isSwapped()
	}
	return o.member.as(do)
}

// isSwapped is the obstacle for a description that another one has replaced.
func (o *open) isSwapped() error {
	return obstacle.Obstacle{
		What: o.link,
		Why:  "another object takes its place while the program is frozen: another process shares its descriptors (clone(2), CLONE_FILES)",
		Do:   "end that process before the checkpoint",
	}
}

func (h *handles) close() {
	if h.taker != nil {
		h.taker.close()
		h.taker, h.from = nil, nil
	}
}

// A reading reads the state of a description through its handle. An obstacle.Obstacle as error refuses the description.
type reading struct {
	of   *open
	read func() error
}

// readLater has a description read when all descriptions have been looked at. Several are read at the same time, on all processors. So read
// changes nothing but the record and the content of this description.
func (c *capture) readLater(o *open, read func() error) {
	c.readings = append(c.readings, reading{o, read})
}

// readLast has a description read by itself, when all others have been read.
func (c *capture) readLast(o *open, read func() error) {
	c.last = append(c.last, reading{o, read})
}

// readAfterAll has a description read by itself, when readLast has done its work.
func (c *capture) readAfterAll(o *open, read func() error) {
	c.afterAll = append(c.afterAll, reading{o, read})
}

// readersMost bounds the descriptors that the writer opens: each reader has a pidfd and a handle.
const readersMost = 4

// onAllProcessors calls a function for each number below n, for several at the same time. The handles are for all calls of one thread.
func onAllProcessors(n int, do func(i int, h *handles)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), readersMost, n) {
		all.Go(func() {
			var h handles
			defer h.close()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i, &h)
			}
		})
	}
	all.Wait()
}

// read does all readings.
func (c *capture) read() error {
	errs := make([]error, len(c.readings))
	onAllProcessors(len(errs), func(i int, h *handles) { errs[i] = h.with(c.readings[i].of, c.readings[i].read) })
	for i, r := range c.readings {
		if errs[i] != nil {
			if err := c.refuse(r.of, errs[i]); err != nil {
				return err
			}
		}
	}
	for _, r := range append(c.last, c.afterAll...) {
		if err := c.handles.with(r.of, r.read); err != nil {
			if err := c.refuse(r.of, err); err != nil {
				return err
			}
		}
	}
	return nil
}

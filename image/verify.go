package image

import (
	"context"
	"sync/atomic"
)

// Verify reads all that Open has not checked: the content of every frame. It tells progress, if
// that is not nil, how many bytes of content are done, of how many; from several goroutines.
func (i *Image) Verify(ctx context.Context, progress func(done, total uint64)) error {
	var done atomic.Uint64
	return i.each(ctx, "", 0, func(f *Frame, _ []byte) error {
		n := done.Add(uint64(f.Raw))
		if progress != nil {
			progress(n, i.totals.Raw)
		}
		return nil
	})
}

package image

import (
	"context"
	"sync/atomic"
)

// Verify checks the content of every frame, which Open does not check. If progress is not nil, several goroutines call it with the
// bytes of content that are done and the total.
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

package coord

import (
	"cmp"
	"sync"
)

// inParallel calls do for 0 to n-1, at most several at a time. It returns the error of the lowest number.
func inParallel(n, most int, do func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var all sync.WaitGroup
	for range min(n, max(most, 1)) {
		all.Go(func() {
			for i := range next {
				errs[i] = do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	return cmp.Or(errs...)
}

// each calls do for all members, several at a time.
func (c *checkpoint) each(do func(*member) error) error {
	return inParallel(len(c.members), c.atOnce, func(i int) error { return do(c.members[i]) })
}

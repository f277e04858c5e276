package coord

import (
	"cmp"
	"sync"
)

// parallelMost is how many members the writer deals with at a time. It waits for most of them most of the time.
const parallelMost = 64

// inParallel calls do for 0 to n-1, several at a time. It returns the error of the lowest number.
func inParallel(n int, do func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var all sync.WaitGroup
	for range min(n, parallelMost) {
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
	return inParallel(len(c.members), func(i int) error { return do(c.members[i]) })
}

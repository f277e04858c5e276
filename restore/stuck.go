package restore

import (
	"context"
	"errors"
	"time"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/stuck"
)

// timeoutStuck is how long a restart may make no progress.
var timeoutStuck = 3 * time.Minute

// bounded does work that uses files of the user, in another goroutine. gaveUp tells that the goroutine may still run. Then the error is an
// obstacle.List, or the cause of the end of ctx.
func bounded(ctx context.Context, moves func() uint64, work func() error) (gaveUp bool, err error) {
	err = stuck.Do(ctx, func() (uint64, time.Duration) { return moves(), timeoutStuck }, work)
	var stopped *stuck.Error
	if !errors.As(err, &stopped) {
		return false, err
	}
	if stopped.Cause != nil {
		return true, stopped.Cause
	}
	return true, obstacle.List{stopped.Obstacle(0)}
}

// moves is a number that changes while the group makes progress.
func (g *group) moves() uint64 { return g.env.Moves() + g.filled.Load() }

// open opens and checks an image.
func open(path string) (img *image.Image, err error) {
	_, err = bounded(context.Background(), func() uint64 { return 0 }, func() (err error) {
		img, err = image.Open(path)
		return err
	})
	return img, err
}

// Check finds everything on this machine that prevents the restart of an image. It creates nothing.
func Check(img *image.Image, env *fd.Env) (all obstacle.List, err error) {
	_, err = bounded(context.Background(), env.Moves, func() (err error) {
		all, err = check(img, env)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// stuck is called when no event has come for a while. It returns an error if no process of the restart has run for timeoutStuck,
// and no memory was filled: a page of a mapped file can be on a file system that does not answer.
func (c *coordinator) stuck() error {
	progress := c.timeouts == 1
	if now := c.group.moves(); now != c.moves {
		c.moves, progress = now, true
	}
	for _, pid := range c.family.descendants() {
		if stat, err := proc.Read(pid, "stat", proc.Stat); err == nil && stat.State == 'R' {
			progress = true
		}
	}
	if progress {
		c.moved = time.Now()
		return nil
	}
	if waited := time.Since(c.moved); waited > timeoutStuck {
		return obstacle.List{(&stuck.Error{Waited: waited}).Obstacle(0)}
	}
	return nil
}

// within waits until f returns, but not longer than timeout. It tells whether f has returned.
func within(timeout time.Duration, f func()) bool {
	done := make(chan bool)
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-time.After(timeout):
		return false
	}
}

package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cmdGenerations checkpoints, kills and restarts a program many times.
func cmdGenerations(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(c.args[1])
	if err != nil {
		return fmt.Errorf("count %q: %w", c.args[1], err)
	}
	every := 0
	if text := c.text("every"); text != "" {
		if every, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("-every %q: %w", text, err)
		}
	}
	pause := func() time.Duration { return 0 }
	said := ""
	if text := c.text("seed"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("-seed %q: %w", text, err)
		}
		random := rand.New(rand.NewPCG(seed, 0))
		pause = func() time.Duration { return time.Duration(random.Int64N(int64(longestPause))) }
		said = " of seed " + text
	}
	for n := 1; n <= count; n++ {
		time.Sleep(pause())
		err := p.generation(c, n)
		if err == nil && every > 0 && n%every == 0 {
			err = p.round(n / every)
		}
		if err != nil {
			return fmt.Errorf("generation %d%s: %w", n, said, err)
		}
	}
	return nil
}

// longestPause is the longest pause before a checkpoint with -seed.
const longestPause = 100 * time.Millisecond

// generation is one checkpoint, crash and restart. Only the last two images are kept.
func (p *subject) generation(c *call, n int) error {
	last, err := p.image, error(nil)
	if n%2 == 0 {
		err = p.trigger(c, unix.SIGUSR2)
	} else {
		err = p.checkpoint(c)
	}
	if err != nil {
		return err
	}
	if err := p.crash(); err != nil {
		return err
	}
	if err := p.restart(c, p.image); err != nil {
		return err
	}
	if last == "" {
		return nil
	}
	return os.RemoveAll(last)
}

// round makes the file round-K and waits until the program answers with the line ROUND K.
func (p *subject) round(k int) error {
	file := filepath.Join(p.dir, fmt.Sprintf("round-%d", k))
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	line, err := regexp.Compile(fmt.Sprintf(`(?m)^ROUND %d$`, k))
	if err != nil {
		return err
	}
	_, err = p.output.await(line, p.over, p.session.lab.params.Bound)
	return err
}

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	mostDescriptors = 20000
	connections     = 1000
)

// descriptors measures what many descriptors add to a pause, and how long their restart takes.
func (b *Bench) descriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	count := int(min(limit.Max/2-100, mostDescriptors)) // crak restart takes two for each, and some for itself
	for _, kind := range []string{"files", "opens", "eventfds", "sockets"} {
		what := fmt.Sprintf("%d descriptors (%s)", count, kind)
		s, added, calls, err := b.added(count, kind, unix.SIGUSR1, "calls ")
		if err != nil {
			s.end()
			return err
		}
		b.add(Row{What: "pause: more with " + what, Unit: "ms", Ours: added, Against: "fstat and F_GETFL of each",
			Reference: calls, Target: "20 ×"}, added < 20*calls)
		err = b.restartOf(s, what)
		s.end()
		if err != nil {
			return err
		}
	}
	return nil
}

// connections measures what TCP connections add to a pause.
func (b *Bench) connections() error {
	s, added, anew, err := b.added(connections, "connections", unix.SIGHUP, "anew ")
	defer s.end()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d TCP connections", connections)
	b.add(Row{What: "pause: more with " + what, Unit: "ms", Ours: added, Against: "making them anew",
		Reference: anew, Target: "3 ×"}, added < 3*anew)
	return b.restartOf(s, what)
}

// added compares the pause of a program that has descriptors of a kind with that of one that has none, and also has the program
// measure something else. The result is what the descriptors add to the pause, and the other time, in ms.
func (b *Bench) added(count int, kind string, signal unix.Signal, line string) (s *Subject, added, other float64, err error) {
	start := func(count int) (*Subject, error) {
		return b.launch([]string{"CRAK_COMPRESS=none"}, b.workload("descriptors"), strconv.Itoa(count), kind)
	}
	none, err := start(0)
	if err != nil {
		return nil, 0, 0, err
	}
	defer none.end()
	if s, err = start(count); err != nil {
		return nil, 0, 0, err
	}
	var others []float64
	for range b.rounds {
		for _, one := range []*Subject{s, none} {
			c, err := one.checkpoint()
			if err != nil {
				return s, 0, 0, err
			}
			_ = os.RemoveAll(c.image)
		}
		v, err := s.measured(signal, line)
		if err != nil {
			return s, 0, 0, err
		}
		others = append(others, v/ms)
	}
	with, err := s.loggedPause()
	if err != nil {
		return s, 0, 0, err
	}
	without, err := none.loggedPause()
	return s, with - without, median(others), err
}

// measured sends the program a signal, and returns the number of the line that it prints then.
func (s *Subject) measured(signal unix.Signal, line string) (v float64, err error) {
	offset := s.written()
	if err := unix.Kill(s.pid(), signal); err != nil {
		return 0, err
	}
	err = s.await(func(text []byte) bool {
		_, rest, found := strings.Cut(string(text[offset:]), line)
		number, _, whole := strings.Cut(rest, "\n")
		if !found || !whole {
			return false
		}
		v, err = strconv.ParseFloat(number, 64)
		return err == nil
	})
	return v, err
}

// restartOf measures a restart.
func (b *Bench) restartOf(s *Subject, what string) error {
	c, err := s.killed()
	if err != nil {
		return err
	}
	var all []float64
	for range max(3, b.rounds/2) {
		took, _, err := s.restart(c.image, 1)
		if err != nil {
			return err
		}
		all = append(all, took)
	}
	b.add(Row{What: "restart with " + what, Unit: "ms", Ours: median(all)}, true)
	return nil
}

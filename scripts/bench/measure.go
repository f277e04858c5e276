package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const ms = 1e6 // nanoseconds

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	switch n := len(v); {
	case n == 0:
		return 0
	case n%2 == 1:
		return v[n/2]
	default:
		return (v[n/2-1] + v[n/2]) / 2
	}
}

// turns measures two things alternately, so that other load on the machine affects both alike, and returns the median of
// each. The one that is measured first changes with every round.
func turns(rounds int, ours, reference func() (float64, error)) (a, b float64, err error) {
	var as, bs []float64
	for i := range rounds {
		for j := range 2 {
			f, to := ours, &as
			if (i+j)%2 == 1 {
				f, to = reference, &bs
			}
			v, err := f()
			if err != nil {
				return 0, 0, err
			}
			*to = append(*to, v)
		}
	}
	return median(as), median(bs), nil
}

// numbersOf runs a program and parses the numbers that it prints.
func numbersOf(cmd *exec.Cmd) ([]float64, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	var all []float64
	for _, word := range strings.Fields(string(out)) {
		if v, err := strconv.ParseFloat(word, 64); err == nil {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: printed no number", strings.Join(cmd.Args, " "))
	}
	return all, nil
}

// elapsed runs a program and returns how long it ran.
func elapsed(cmd *exec.Cmd) (time.Duration, error) {
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return time.Since(start), nil
}

// monotonic is CLOCK_MONOTONIC in nanoseconds, as the workloads read it.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every kernel has this clock
	}
	return t.Nano()
}

// environment is the bench's own environment, with the library preloaded and dir as the directory for images.
func (b *Bench) environment(dir string, more ...string) []string {
	return append(append(os.Environ(), "LD_PRELOAD="+b.library, "CRAK_DIR="+dir), more...)
}

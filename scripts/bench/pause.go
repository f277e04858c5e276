package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pauses measures the largest gap that a checkpoint makes in a program that reads the clock.
func (b *Bench) pauses() error {
	if err := b.pause("one thread", 1, 0, 2); err != nil {
		return err
	}
	if err := b.pause("16 threads", 16, 0, 4); err != nil {
		return err
	}
	fork, err := b.forkTime()
	if err != nil {
		return err
	}
	gap, logged, err := b.gap(1, b.mib, "random")
	if err != nil {
		return err
	}
	what := fmt.Sprintf("pause: %d MiB of random pages", b.mib)
	b.add(Row{What: what, Unit: "ms", Ours: gap, Against: "fork of the same", Reference: fork, Target: "+10 ms"}, gap < fork+10)
	b.add(Row{What: what, Unit: "ms", Ours: gap, Against: "as crak.log has it", Reference: logged}, true)
	_, busy, err := b.gap(1, b.mib, "busy")
	if err != nil {
		return err
	}
	what = fmt.Sprintf("logged pause: %d MiB, and it maps and unmaps", b.mib)
	b.add(Row{What: what, Unit: "ms", Ours: busy, Against: "it does not", Reference: logged, Target: "+3 ms"}, busy < logged+3)
	return nil
}

func (b *Bench) pause(what string, threads, mib int, target float64) error {
	gap, logged, err := b.gap(threads, mib, "random")
	if err != nil {
		return err
	}
	b.add(Row{What: "pause: " + what, Unit: "ms", Ours: gap, Against: "as crak.log has it", Reference: logged, Target: fmt.Sprintf("%.0f ms", target)}, gap < target)
	return nil
}

// gap returns two medians over several checkpoints, in ms: of the largest gap that the program sees during a checkpoint, and
// of the pause that crak.log states for it. The gap includes CPU time that the writer takes while the program runs again.
func (b *Bench) gap(threads, mib int, fill string) (gap, logged float64, err error) {
	s, err := b.launch([]string{"CRAK_COMPRESS=none"}, b.workload("gap"), strconv.Itoa(threads), strconv.Itoa(mib), fill)
	if err != nil {
		return 0, 0, err
	}
	defer s.end()
	var all []float64
	rounds := 3 * b.rounds // each is short, and gaps without a checkpoint are as long
	if mib > 0 {
		rounds = b.rounds
	}
	for range rounds {
		time.Sleep(100 * time.Millisecond) // the program runs undisturbed between two checkpoints
		offset := s.written()
		c, err := s.checkpoint()
		if err != nil {
			return 0, 0, err
		}
		time.Sleep(50 * time.Millisecond) // until the program has printed the gap
		_ = os.RemoveAll(c.image)
		all = append(all, largest(s.gaps(offset)))
	}
	logged, err = s.loggedPause()
	return median(all), logged, err
}

// loggedPause is the median of the pauses in crak.log, in ms.
func (s *Subject) loggedPause() (float64, error) {
	all, _, err := s.loggedPauses(0)
	return median(all), err
}

// loggedPauses are the pauses in crak.log after an offset, in ms, and the log's end.
func (s *Subject) loggedPauses(offset int64) (all []float64, end int64, err error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "crak.log"))
	if err != nil {
		return nil, 0, err
	}
	for _, part := range strings.Split(string(text[offset:]), "(pause ")[1:] {
		var v float64
		if n, _ := fmt.Sscanf(part, "%g ms", &v); n == 1 {
			all = append(all, v)
		}
	}
	return all, int64(len(text)), nil
}

// largest is the largest gap in ms. It is at least 0.1 ms, because the workload prints no shorter gap.
func largest(gaps [][2]float64, err error) float64 {
	most := 0.1 * ms
	for _, g := range gaps {
		most = max(most, g[1])
	}
	return most / ms
}

// forkTime is the time of a fork in a program of b.mib MiB, in ms.
func (b *Bench) forkTime() (float64, error) {
	all, err := forkTimes(exec.Command(b.workload("gap"), "1", strconv.Itoa(b.mib), "random", strconv.Itoa(b.rounds)))
	return median(all), err
}

// forkTimes are the times that a workload prints in lines "fork NS", in ms.
func forkTimes(cmd *exec.Cmd) (all []float64, err error) {
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	for line := range bytes.Lines(out) {
		var ns float64
		if n, _ := fmt.Sscanf(string(line), "fork %g", &ns); n == 1 {
			all = append(all, ns/ms)
		}
	}
	return all, nil
}

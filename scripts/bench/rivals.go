package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// rivals measures CRIU and DMTCP on the same workloads.
func (b *Bench) rivals() error {
	if err := b.criu(); err != nil {
		b.fault("criu", err)
	}
	if err := b.dmtcp(); err != nil {
		b.fault("dmtcp", err)
	}
	return nil
}

var errAbsent = errors.New("not installed here")

// criu measures the pause of `criu dump --leave-running`.
func (b *Bench) criu() error {
	if _, err := exec.LookPath("criu"); err != nil {
		return errAbsent
	}
	for _, mib := range []int{0, b.mib} {
		gap, err := b.criuPause(mib)
		if err != nil {
			return err
		}
		b.add(Row{What: fmt.Sprintf("criu: pause, %d MiB of random pages", mib), Unit: "ms", Ours: gap}, true)
	}
	return nil
}

func (b *Bench) criuPause(mib int) (float64, error) {
	s, err := b.launch([]string{"LD_PRELOAD="}, b.workload("gap"), "1", strconv.Itoa(mib), "random")
	if err != nil {
		return 0, err
	}
	defer s.end()
	var all []float64
	for i := range b.rounds {
		image := filepath.Join(s.dir, "criu-"+strconv.Itoa(i))
		if err := os.Mkdir(image, 0o700); err != nil {
			return 0, err
		}
		offset := s.written()
		if _, err := elapsed(exec.Command("criu", "dump", "-t", strconv.Itoa(s.pid()), "-D", image, "--leave-running", "--shell-job")); err != nil {
			return 0, err
		}
		time.Sleep(50 * time.Millisecond) // until the program has printed the gap
		all = append(all, largest(s.gaps(offset)))
		_ = os.RemoveAll(image)
	}
	return median(all), nil
}

// dmtcp measures the loops under dmtcp_launch. Each run has its own coordinator.
func (b *Bench) dmtcp() error {
	if _, err := exec.LookPath("dmtcp_launch"); err != nil {
		return errAbsent
	}
	for _, loop := range []struct{ kind, count string }{{"malloc", "10000000"}, {"syscall", "1000000"}} {
		plain := func() (float64, error) {
			v, err := numbersOf(exec.Command(b.workload("loops"), loop.kind, loop.count))
			if err != nil {
				return 0, err
			}
			return v[0] / ms, nil
		}
		under := func() (float64, error) {
			cmd := exec.Command("dmtcp_launch", "--new-coordinator", "--quiet", b.workload("loops"), loop.kind, loop.count)
			cmd.Dir = b.dir
			v, err := numbersOf(cmd)
			if err != nil {
				return 0, err
			}
			return v[len(v)-1] / ms, nil
		}
		with, without, err := turns(b.rounds, under, plain)
		if err != nil {
			return err
		}
		b.add(Row{What: "dmtcp: " + loop.kind + " loop", Unit: "ms", Ours: with, Against: "without it", Reference: without}, true)
	}
	return nil
}

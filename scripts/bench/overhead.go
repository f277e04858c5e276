package main

import (
	"os/exec"
	"strconv"
	"time"

	"crak.dev/crak/internal/proc"
)

// overhead runs loops with and without the library.
func (b *Bench) overhead() error {
	for _, loop := range []struct{ kind, count string }{
		{"cpu", "100000000"}, {"malloc", "10000000"}, {"syscall", "1000000"}, {"switch", "5000"},
	} {
		run := func(preload bool) func() (float64, error) {
			return func() (float64, error) {
				cmd := exec.Command(b.workload("loops"), loop.kind, loop.count)
				if preload {
					cmd.Env = b.environment(b.dir)
				}
				v, err := numbersOf(cmd)
				if err != nil {
					return 0, err
				}
				return v[0] / ms, nil
			}
		}
		with, without, err := turns(2*b.rounds, run(true), run(false))
		if err != nil {
			return err
		}
		b.add(Row{What: "running: " + loop.kind + " loop", Unit: "ms", Ours: with, Against: "without the library", Reference: without, Target: "1.00 within noise"},
			with/without < 1.03)
	}
	return nil
}

// idle counts how many more threads, descriptors and wake-ups a sleeping program has with the library than without.
func (b *Bench) idle() error {
	type count struct{ threads, descriptors, wakeups float64 }
	look := func(preload bool) (c count, err error) {
		cmd := exec.Command("/bin/sleep", "60")
		if preload {
			cmd.Env = b.environment(b.dir)
		}
		if err := cmd.Start(); err != nil {
			return c, err
		}
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
		time.Sleep(200 * time.Millisecond) // until it sleeps: its start is not measured
		before, err := proc.Read(cmd.Process.Pid, "status", proc.Status)
		if err != nil {
			return c, err
		}
		fds, err := proc.Fds(cmd.Process.Pid)
		if err != nil {
			return c, err
		}
		time.Sleep(time.Second) // the wake-ups of this second are counted
		after, err := proc.Read(cmd.Process.Pid, "status", proc.Status)
		c.threads, c.descriptors = float64(after.Threads), float64(len(fds))
		c.wakeups = float64(after.VoluntarySwitches - before.VoluntarySwitches)
		return c, err
	}
	with, err := look(true)
	if err != nil {
		return err
	}
	without, err := look(false)
	if err != nil {
		return err
	}
	for _, row := range []struct {
		what          string
		with, without float64
	}{
		{"threads more", with.threads, without.threads},
		{"descriptors more", with.descriptors, without.descriptors},
		{"wake-ups more in a second", with.wakeups, without.wakeups},
	} {
		b.add(Row{What: "running: " + row.what, Ours: row.with - row.without, Target: "0"}, row.with == row.without)
	}
	return nil
}

// start measures starting /bin/true, with and without the library.
func (b *Bench) start() error {
	const count = 500
	var faults [2][]float64
	run := func(preload int) func() (float64, error) {
		return func() (float64, error) {
			args := []string{strconv.Itoa(count), "/bin/true"}
			if preload == 1 {
				args = append(args, b.library)
			}
			v, err := numbersOf(exec.Command(b.workload("spawn"), args...))
			if err != nil {
				return 0, err
			}
			faults[preload] = append(faults[preload], v[1]/count)
			return v[0] / ms / count, nil
		}
	}
	with, without, err := turns(b.rounds, run(1), run(0))
	if err != nil {
		return err
	}
	b.add(Row{What: "starting /bin/true", Unit: "ms", Ours: with, Against: "without the library", Reference: without, Target: "+0.4 ms"},
		with-without < 0.4)
	with, without = median(faults[1]), median(faults[0])
	b.add(Row{What: "starting /bin/true", Unit: "page faults", Ours: with, Against: "without the library", Reference: without, Target: "+120"},
		with-without <= 120)
	return nil
}

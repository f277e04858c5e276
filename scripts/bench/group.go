package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

const (
	members      = 64
	memberMiB    = 4
	manyMembers  = 256 // for the memory of crak itself
	sharedMiB    = 500
	sharingForks = 8
)

// family launches a group of processes with some memory each.
func (b *Bench) family(count, mib int, kind string) (*Subject, error) {
	return b.launch([]string{"CRAK_COMPRESS=none"}, b.workload("family"), strconv.Itoa(count), strconv.Itoa(mib), kind)
}

// killedFamily launches such a group, makes an image of it, and ends it.
func (b *Bench) killedFamily(count, mib int, kind string) (*Subject, Checkpoint, error) {
	s, err := b.family(count, mib, kind)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	c, err := s.checkpoint("--kill")
	if err != nil {
		s.endGroup()
		return nil, c, err
	}
	s.kill()
	return s, c, reapOrphans()
}

// groupPause compares the pause of a group with the forks of its processes, one process after the other.
func (b *Bench) groupPause() error {
	s, err := b.family(members, memberMiB, "own")
	if err != nil {
		return err
	}
	defer s.endGroup()
	var log int64
	pause := func() (float64, error) {
		time.Sleep(100 * time.Millisecond) // the program runs undisturbed between two checkpoints
		c, err := s.checkpoint()
		if err != nil {
			return 0, err
		}
		_ = os.RemoveAll(c.image)
		pauses, end, err := s.loggedPauses(log)
		if err != nil || len(pauses) != 1 {
			return 0, fmt.Errorf("crak.log: %d pauses after a checkpoint: %w", len(pauses), err)
		}
		log = end
		return pauses[0], nil
	}
	forks := func() (float64, error) {
		all, err := forkTimes(exec.Command(b.workload("family"), strconv.Itoa(members), strconv.Itoa(memberMiB), "own", "3"))
		return median(all), err
	}
	ours, forked, err := turns(b.rounds, pause, forks)
	if err != nil {
		return err
	}
	b.add(Row{What: fmt.Sprintf("pause: %d processes of %d MiB", members, memberMiB), Unit: "ms", Ours: ours,
		Against: fmt.Sprintf("fork of %d such", members), Reference: forked, Target: "1.5 ×"}, ours < 1.5*forked)
	return nil
}

// groupRestart compares the restart of a group, until every process has run, with starting as many small programs.
func (b *Bench) groupRestart() error {
	s, c, err := b.killedFamily(members, 0, "own")
	if err != nil {
		return err
	}
	defer s.end()
	ours, started, err := turns(b.rounds, func() (float64, error) {
		took, _, err := s.restart(c.image, members)
		return took, err
	}, func() (float64, error) {
		v, err := numbersOf(exec.Command(b.workload("spawn"), strconv.Itoa(members), "/bin/true"))
		if err != nil {
			return 0, err
		}
		return v[0] / ms, nil
	})
	if err != nil {
		return err
	}
	b.add(Row{What: fmt.Sprintf("restart of %d small processes", members), Unit: "ms", Ours: ours,
		Against: fmt.Sprintf("fork and exec of %d × /bin/true", members), Reference: started, Target: "3 ×"}, ours < 3*started)
	return nil
}

// groupMemory measures how much memory crak itself takes for a group of many processes.
func (b *Bench) groupMemory() error {
	s, c, err := b.killedFamily(manyMembers, 1, "own")
	if err != nil {
		return err
	}
	defer s.end()
	b.add(Row{What: fmt.Sprintf("writer's own memory, %d processes", manyMembers), Unit: "MiB", Ours: c.rss,
		Target: "100 MiB"}, c.rss < 100)
	_, rss, err := s.restart(c.image, manyMembers)
	if err != nil {
		return err
	}
	b.add(Row{What: fmt.Sprintf("crak restart's own memory, %d processes", manyMembers), Unit: "MiB", Ours: rss,
		Target: "100 MiB"}, rss < 100)
	return nil
}

// groupSize compares the image of a process and its forked children, which share its memory, with that of the process alone.
func (b *Bench) groupSize() error {
	size := func(count int) (float64, error) {
		s, c, err := b.killedFamily(count, sharedMiB, "shared")
		if err != nil {
			return 0, err
		}
		defer s.end()
		n, err := size(c.image)
		return n / (1 << 20), err
	}
	alone, err := size(1)
	if err != nil {
		return err
	}
	group, err := size(1 + sharingForks)
	if err != nil {
		return err
	}
	b.add(Row{What: fmt.Sprintf("image of %d MiB, with %d forked children", sharedMiB, sharingForks), Unit: "MiB", Ours: group,
		Against: "without children", Reference: alone, Target: "1.1 ×"}, group < 1.1*alone)
	return nil
}

// compilation compares `make -j2` of a C project with and without the library. Every compiler and shell loads the library.
func (b *Bench) compilation() error {
	dir, err := os.MkdirTemp(b.dir, "project-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Dir(filepath.Dir(b.dir))
	run := func(preload bool) func() (float64, error) {
		return func() (float64, error) {
			cmd := exec.Command("make", "-s", "-j2", "-B", "-f", filepath.Join(root, "scripts/bench/workloads/project.mk"), "SOURCES="+root)
			cmd.Dir = dir
			if preload {
				cmd.Env = b.environment(dir)
			}
			took, err := elapsed(cmd)
			return took.Seconds(), err
		}
	}
	with, without, err := turns(b.rounds, run(true), run(false))
	if err != nil {
		return err
	}
	b.add(Row{What: "running: make -j2 of a C project", Unit: "s", Ours: with, Against: "without the library",
		Reference: without, Target: "1.03 ×"}, with/without < 1.03)
	return nil
}

// endGroup ends the group if it still runs, and removes its files.
func (s *Subject) endGroup() {
	killAll(childrenOf(s.pid()))
	s.end()
	_ = reapOrphans()
}

// reapOrphans waits for the end of processes whose parent has ended, and reaps them. A zombie keeps its PID, and crak restart would
// wait until the PID is free. Preconditions: the bench has waited for all programs that it has started.
func reapOrphans() error {
	for {
		_, err := unix.Wait4(-1, nil, unix.WALL, nil)
		if err == unix.ECHILD {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait4: %w", err)
		}
	}
}

func killAll(pids []int) {
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// childrenOf lists the children of a process.
func childrenOf(pid int) (children []int) {
	tids, _ := proc.Tasks(pid)
	for _, tid := range tids {
		text, _ := os.ReadFile(proc.Path(pid, fmt.Sprintf("task/%d/children", tid)))
		for _, field := range bytes.Fields(text) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

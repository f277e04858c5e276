package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// write compares the time to write a big image with that of cp. Both write to the same disk and sync it.
func (b *Bench) write() error {
	s, err := b.launch([]string{"CRAK_COMPRESS=none"}, b.workload("gap"), "1", strconv.Itoa(b.mib), "random")
	if err != nil {
		return err
	}
	defer s.end()
	source, target := filepath.Join(b.dir, "source"), filepath.Join(b.dir, "target")
	defer os.Remove(source)
	fill := exec.Command("dd", "if=/dev/urandom", "of="+source, "bs=1M", "count="+strconv.Itoa(b.mib), "status=none")
	if _, err := elapsed(fill); err != nil {
		return err
	}
	memory := 0.0
	ours := func() (float64, error) {
		c, err := s.checkpoint()
		memory = max(memory, c.rss)
		if err == nil {
			err = os.RemoveAll(c.image)
		}
		return c.took.Seconds(), err
	}
	unsynced := 0.0
	cp := func() (float64, error) {
		defer os.Remove(target)
		took, err := elapsed(exec.Command("cp", source, target))
		if err != nil {
			return 0, err
		}
		unsynced = took.Seconds()
		sync, err := elapsed(exec.Command("sync", target))
		return (took + sync).Seconds(), err
	}
	took, copied, err := turns(max(3, b.rounds/2), ours, cp)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("writing %d MiB of random pages", b.mib)
	b.add(Row{What: what, Unit: "s", Ours: took, Against: "cp, and sync of the copy", Reference: copied, Target: "1.3 ×"}, took < 1.3*copied)
	b.add(Row{What: what, Unit: "s", Ours: took, Against: "cp, not yet on the disk", Reference: unsynced}, true)
	b.add(Row{What: "writer's own memory", Unit: "MiB", Ours: memory, Target: "100 MiB"}, memory < 100)
	return nil
}

// restartBig compares the time to restart a big program with that of reading its image into new memory.
func (b *Bench) restartBig() error {
	s, err := b.launch([]string{"CRAK_COMPRESS=none"}, b.workload("gap"), "1", strconv.Itoa(b.mib), "random")
	if err != nil {
		return err
	}
	defer s.end()
	c, err := s.killed()
	if err != nil {
		return err
	}
	files, err := imageFiles(c.image)
	if err != nil {
		return err
	}
	memory := 0.0
	ours := func() (float64, error) {
		took, rss, err := s.restart(c.image, 1)
		memory = max(memory, rss)
		return took, err
	}
	took, read, err := turns(max(3, b.rounds/2), ours, func() (float64, error) {
		v, err := numbersOf(exec.Command(b.workload("load"), files...))
		if err != nil {
			return 0, err
		}
		return v[0] / ms, nil
	})
	if err != nil {
		return err
	}
	b.add(Row{What: fmt.Sprintf("restart of %d MiB", b.mib), Unit: "ms", Ours: took, Against: "cat of the image into new memory", Reference: read, Target: "1.3 ×"}, took < 1.3*read)
	b.add(Row{What: "crak restart's own memory", Unit: "MiB", Ours: memory, Target: "100 MiB"}, memory < 100)
	return nil
}

// restartSmall measures the time from the start of crak restart until a small program runs again.
func (b *Bench) restartSmall() error {
	s, err := b.launch(nil, b.workload("gap"), "1", "0", "random")
	if err != nil {
		return err
	}
	defer s.end()
	c, err := s.killed()
	if err != nil {
		return err
	}
	took, started, err := turns(2*b.rounds, func() (float64, error) {
		took, _, err := s.restart(c.image, 1)
		return took, err
	}, func() (float64, error) {
		took, err := elapsed(exec.Command("/bin/true"))
		return took.Seconds() * 1000, err
	})
	if err != nil {
		return err
	}
	b.add(Row{What: "restart of a small program", Unit: "ms", Ours: took, Against: "fork and exec of /bin/true", Reference: started, Target: "10 ms"}, took < 10)
	return nil
}

// sizes measures the size of compressed images.
func (b *Bench) sizes() error {
	half, err := b.imageSize(b.workload("gap"), "1", strconv.Itoa(b.mib), "half")
	if err != nil {
		return err
	}
	target := 0.51 * float64(b.mib)
	b.add(Row{What: fmt.Sprintf("image of %d MiB, half of it zero", b.mib), Unit: "MiB", Ours: half, Against: "memory", Reference: float64(b.mib), Target: fmt.Sprintf("%.0f MiB", target)}, half < target)
	python, err := b.imageSize("/usr/bin/python3", "-c", "import time; print('READY', flush=True); time.sleep(600)")
	if err != nil {
		return err
	}
	b.add(Row{What: "image of python3, idle", Unit: "MiB", Ours: python, Target: "4 MB"}, python < 4e6/(1<<20))
	return nil
}

// imageSize is the size of an image of the program in MiB.
func (b *Bench) imageSize(name string, args ...string) (float64, error) {
	s, err := b.launch(nil, name, args...)
	if err != nil {
		return 0, err
	}
	defer s.end()
	c, err := s.checkpoint()
	if err != nil {
		return 0, err
	}
	n, err := size(c.image)
	return n / (1 << 20), err
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"crak.dev/crak/internal/proc"
)

// Subject is a program under the library whose output goes to a file.
type Subject struct {
	b      *Bench
	cmd    *exec.Cmd
	dir    string // for its images
	output string
}

// launch starts the program and waits until it prints READY. env is added to its environment.
func (b *Bench) launch(env []string, name string, args ...string) (*Subject, error) {
	return b.launchUntil("READY\n", env, name, args...)
}

func (b *Bench) launchUntil(ready string, env []string, name string, args ...string) (*Subject, error) {
	dir, err := os.MkdirTemp(b.dir, "subject-")
	if err != nil {
		return nil, err
	}
	s := &Subject{b: b, cmd: exec.Command(name, args...), dir: dir, output: filepath.Join(dir, "output")}
	// O_APPEND: without it, the restarted program would overwrite what it wrote after the checkpoint.
	out, err := os.OpenFile(s.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s.cmd.Dir = dir
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.Env = b.environment(dir, env...)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.await(func(text []byte) bool { return bytes.Contains(text, []byte(ready)) }); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *Subject) pid() int { return s.cmd.Process.Pid }

// kill ends the program.
func (s *Subject) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// end ends the program and removes its files. s may be nil.
func (s *Subject) end() {
	if s == nil {
		return
	}
	s.kill()
	_ = os.RemoveAll(s.dir)
}

// await waits until done accepts the output, a minute at most.
func (s *Subject) await(done func([]byte) bool) error {
	for range 6000 {
		text, err := os.ReadFile(s.output)
		if err != nil {
			return err
		}
		if done(text) {
			return nil
		}
		if status, err := proc.Read(s.pid(), "status", proc.Status); err != nil || status.State == 'Z' {
			return fmt.Errorf("%s: ended: %s", s.cmd.Args[0], text)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s: waited a minute for its output", s.cmd.Args[0])
}

// Checkpoint is the result of one `crak checkpoint`.
type Checkpoint struct {
	image string
	took  time.Duration
	rss   float64 // peak memory of crak, MiB
}

func (s *Subject) checkpoint(args ...string) (c Checkpoint, err error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(s.b.crak, append(append([]string{"checkpoint"}, args...), strconv.Itoa(s.pid()))...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = without(s.cmd.Env, "LD_PRELOAD=")
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return c, fmt.Errorf("crak checkpoint: %w: %s", err, stderr.Bytes())
	}
	c.took = time.Since(start)
	c.image = strings.TrimSpace(stdout.String())
	c.rss = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	return c, nil
}

// killed makes an image of the program, and then kills it.
func (s *Subject) killed() (Checkpoint, error) {
	c, err := s.checkpoint()
	if err == nil {
		s.kill()
	}
	return c, err
}

// restart restarts an image, waits until count processes have printed that they run, and kills them. took is the time from the start
// of crak until the last of them ran, in ms; rss is the peak memory of crak in MiB.
func (s *Subject) restart(image string, count int) (took, rss float64, err error) {
	// A process of family.c prints a line when 100 ms (LEAST_GAP) have passed since its last look at the clock. So more than that must
	// lie between the image and the restart.
	time.Sleep(150 * time.Millisecond)
	offset := s.written()
	var text bytes.Buffer
	cmd := exec.Command(s.b.crak, "restart", image)
	cmd.Stdout, cmd.Stderr = &text, &text
	start := float64(monotonic())
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		killRestarted(cmd.Process)
		<-ended
		err = errors.Join(err, reapOrphans())
	}()
	for range 3000 {
		lines, err := s.gaps(offset)
		if err != nil {
			return 0, 0, err
		}
		if last, all := lastFirst(lines, start, count); all {
			status, err := proc.Read(cmd.Process.Pid, "status", proc.Status)
			return (last - start) / ms, float64(status.VmHWM) / (1 << 20), err
		}
		select {
		case err := <-ended:
			ended <- err
			return 0, 0, fmt.Errorf("crak restart: %v: %s", err, text.Bytes())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return 0, 0, fmt.Errorf("crak restart: waited half a minute for the program: %s", text.Bytes())
}

// lastFirst returns the latest first line after start of count processes, and whether there are so many. A line has the time and
// what tells the processes apart. Of a single process it is the first line.
func lastFirst(lines [][2]float64, start float64, count int) (last float64, all bool) {
	running := make(map[float64]bool)
	for _, line := range lines {
		if line[0] > start && !running[line[1]] && len(running) < count {
			running[line[1]], last = true, max(last, line[0])
		}
	}
	return last, len(running) == count
}

// killRestarted kills a restarted program, whose root is a child of crak. crak ends when the root does.
func killRestarted(crak *os.Process) {
	roots := childrenOf(crak.Pid)
	for _, root := range roots {
		killAll(childrenOf(root))
	}
	killAll(roots)
	time.AfterFunc(10*time.Second, func() { _ = crak.Kill() })
}

// gaps returns the lines "NOW GAP" that the gap workload has printed since the given offset of its output.
func (s *Subject) gaps(offset int64) (lines [][2]float64, err error) {
	f, err := os.Open(s.output)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(offset, 0); err != nil {
		return nil, err
	}
	for r := bufio.NewScanner(f); r.Scan(); {
		var line [2]float64
		if n, _ := fmt.Sscan(r.Text(), &line[0], &line[1]); n == 2 {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func (s *Subject) written() int64 {
	info, err := os.Stat(s.output)
	if err != nil {
		return 0
	}
	return info.Size()
}

// size is the total size of the files of an image, in bytes.
func size(image string) (total float64, err error) {
	files, err := imageFiles(image)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		total += float64(info.Size())
	}
	return total, err
}

// imageFiles lists the files of an image.
func imageFiles(image string) (files []string, err error) {
	image, err = filepath.EvalSymlinks(image)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(image, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

func without(env []string, prefix string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, prefix) {
			kept = append(kept, v)
		}
	}
	return kept
}

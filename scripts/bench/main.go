package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// Bench is one run of the benchmark.
type Bench struct {
	Report
	crak    string
	library string
	dir     string // for images and files; on the same disk as the checkout
	rounds  int
	mib     int // size of the big program
}

func main() {
	quick := flag.Bool("quick", false, "fewer rounds and a program of 128 MiB")
	only := flag.String("only", "", "only measurements whose names match this regular expression, such as '^group': overhead, overhead idle, start, overhead make, pause, write, read, small, size, group pause, group restart, group memory, group size, descriptors, connections, redis, rivals")
	flag.Parse()
	b, err := newBench(*quick)
	if err == nil {
		err = b.run(*only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newBench(quick bool) (*Bench, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	b := &Bench{
		crak:    filepath.Join(root, "build/crak"),
		library: filepath.Join(root, "build/libcrak.so"),
		dir:     filepath.Join(root, "build/bench"),
		rounds:  7,
		mib:     1024,
	}
	if quick {
		b.rounds, b.mib = 3, 128
	}
	if _, err := os.Stat(b.crak); err != nil {
		return nil, fmt.Errorf("run it by `make bench`: %w", err)
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, err
	}
	if err := closeOnExec(); err != nil {
		return nil, err
	}
	// Processes whose parent has ended become children of the bench, which reaps them at once (reapOrphans).
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("subreaper: %w", err)
	}
	return b, b.compile()
}

// closeOnExec marks inherited descriptors close-on-exec, so that the programs that are checkpointed do not inherit them: they
// lead outside the program.
func closeOnExec() error {
	fds, err := proc.Fds(0)
	for _, fd := range fds {
		if fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return err
}

// compile compiles the workloads.
func (b *Bench) compile() error {
	sources, err := filepath.Glob("scripts/bench/workloads/*.c")
	if err != nil {
		return err
	}
	for _, source := range sources {
		out := b.workload(strings.TrimSuffix(filepath.Base(source), ".c"))
		cmd := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O2", "-pthread", "-o", out, source)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", source, err, text)
		}
	}
	return nil
}

func (b *Bench) workload(name string) string { return filepath.Join(b.dir, name) }

// run makes the measurements in order. A measurement that fails becomes a row with the reason, and the others still run.
func (b *Bench) run(only string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	for _, m := range []struct {
		name string
		run  func() error
	}{
		{"overhead", b.overhead},
		{"overhead idle", b.idle},
		{"start", b.start},
		{"overhead make", b.compilation},
		{"pause", b.pauses},
		{"write", b.write},
		{"read", b.restartBig},
		{"small", b.restartSmall},
		{"size", b.sizes},
		{"group pause", b.groupPause},
		{"group restart", b.groupRestart},
		{"group memory", b.groupMemory},
		{"group size", b.groupSize},
		{"descriptors", b.descriptors},
		{"connections", b.connections},
		{"redis", b.redis},
		{"rivals", b.rivals},
	} {
		if !chosen.MatchString(m.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", m.name)
		if err := m.run(); err != nil {
			b.fault(m.name, err)
		}
	}
	b.print(os.Stdout)
	return b.save(filepath.Join(filepath.Dir(b.dir), "bench.json"))
}

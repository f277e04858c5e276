package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Result counts the scripts of a run without go test.
type Result struct {
	Passed, Failed, Skipped int
}

// RunScripts is Run without go test. It writes one line for each script to out, and the transcript of each that fails. When
// ctx is cancelled it ends after the scripts that are running.
func RunScripts(ctx context.Context, out io.Writer, p Params) (Result, error) {
	if _, err := os.Stat(p.Dir); err != nil {
		return Result{}, err
	}
	l, err := New(p)
	if err != nil {
		return Result{}, err
	}
	r := &runner{ctx: ctx, out: out, slots: make(chan struct{}, l.params.Parallel)}
	for _, id := range l.params.Identities {
		var scripts []string
		if scripts, err = id.scripts(l.params); err != nil {
			break
		}
		if len(scripts) == 0 {
			err = fmt.Errorf("%s: no *.txtar script for %s", l.params.Dir, id.Name)
			break
		}
		params := l.Testscript(id)
		params.Dir, params.Files = "", scripts
		group := &trial{runner: r, name: id.Name}
		group.guard(func() { testscript.RunT(group, params) })
		r.running.Wait()
		if group.failed {
			r.report(group, 0)
		}
	}
	if closed := l.Close(); err == nil {
		err = closed
	}
	return r.result, err
}

// A runner is shared by all trials of a run.
type runner struct {
	ctx     context.Context
	slots   chan struct{} // as many as trials may run at a time
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	out    io.Writer
	result Result
}

// A trial is the testscript.T of one script, or of all scripts of an identity.
type trial struct {
	runner  *runner
	name    string
	failed  bool
	skipped bool
	log     []byte
}

// Run runs f as a trial of its own, beside others.
func (t *trial) Run(name string, f func(testscript.T)) {
	sub := &trial{runner: t.runner, name: t.name + "/" + name}
	t.runner.running.Go(func() {
		t.runner.slots <- struct{}{}
		defer func() { <-t.runner.slots }()
		start := time.Now()
		sub.guard(func() { f(sub) })
		t.runner.report(sub, time.Since(start))
	})
}

// guard runs f, which may end by FailNow, by Skip or by a panic.
func (t *trial) guard(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.recovered()
		f()
	}()
	<-done
}

// recovered makes a panic of a script's a failure of that script.
func (t *trial) recovered() {
	if r := recover(); r != nil {
		t.Log(fmt.Sprintf("panic: %v\n%s", r, debug.Stack()))
		t.failed = true
	}
}

func (r *runner) report(t *trial, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	word := "ok  "
	switch {
	case t.failed:
		word = "FAIL"
		r.result.Failed++
	case t.skipped:
		word = "skip"
		r.result.Skipped++
	default:
		r.result.Passed++
	}
	fmt.Fprintf(r.out, "%s %s (%.1fs)\n", word, t.name, took.Seconds())
	if t.failed || t.skipped {
		fmt.Fprintf(r.out, "%s\n", t.log)
	}
}

// Parallel does nothing: every trial is.
func (t *trial) Parallel() {
	if t.runner.ctx.Err() != nil {
		t.Skip("interrupted")
	}
}

func (t *trial) Log(args ...any) { t.log = append(t.log, fmt.Sprintln(args...)...) }

func (t *trial) Verbose() bool { return false }

func (t *trial) FailNow() {
	t.failed = true
	runtime.Goexit()
}

func (t *trial) Fatal(args ...any) {
	t.Log(args...)
	t.FailNow()
}

func (t *trial) Skip(args ...any) {
	t.Log(args...)
	t.skipped = true
	runtime.Goexit()
}

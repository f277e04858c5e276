package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// start makes the subject's first process.
func (p *subject) start() error {
	if err := p.prepare(); err != nil {
		return err
	}
	argv, look := p.argv, p.adopt
	if p.init {
		argv, look = append(p.session.asInit(), argv...), p.adoptChild
	}
	cmd := p.session.command(p.dir, p.environment(), argv[0], argv[1:]...)
	cmd.Args[0] = filepath.Base(argv[0])
	if err := p.connect(cmd, p.errors); err != nil {
		return err
	}
	defer closeFiles(cmd)
	return p.launch(cmd, look)
}

// asInit is the command that makes a program process 1 of a PID namespace. An ordinary user needs a user namespace for that.
func (s *session) asInit() []string {
	command := []string{"/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}
	if s.identity.UID != 0 {
		command = append(command, "--user", "--map-current-user")
	}
	return command
}

// adoptChild waits until a process has a child, and makes this child the process of the subject.
func (p *subject) adoptChild(parent int) error {
	path := fmt.Sprintf("/proc/%d/task/%[1]d/children", parent)
	for deadline := time.Now().Add(p.session.lab.params.Bound); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		children, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if child, err := strconv.Atoi(strings.TrimSpace(string(children))); err == nil {
			return p.adopt(child)
		}
	}
	return fmt.Errorf("%s: %s has no child", p.name, filepath.Base(p.runner.Path))
}

// prepare makes the directory of the subject, and a copy of it for a later run without checkpoints.
func (p *subject) prepare() error {
	if err := p.session.makeDir(p.dir); err != nil {
		return err
	}
	p.origin = filepath.Join(p.session.work, ".origin", p.name)
	if filepath.Clean(p.dir) == filepath.Clean(p.session.work) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.origin), 0o755); err != nil {
		return err
	}
	return exec.Command("cp", "-a", p.dir, p.origin).Run()
}

// connect gives cmd its standard input, output and error: a terminal, or files.
func (p *subject) connect(cmd *exec.Cmd, stderr string) error {
	if p.term != nil {
		return p.term.connect(cmd)
	}
	in, err := os.Open(p.stdin)
	if err != nil {
		return err
	}
	cmd.Stdin = in
	out, err := p.open(p.output.path)
	if err != nil {
		return err
	}
	cmd.Stdout = out
	cmd.Stderr, err = p.open(stderr)
	return err
}

// open opens a file for a program's output, without O_APPEND: a restarted program overwrites what it had written after its checkpoint.
func (p *subject) open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	if err := p.session.identity.own(path); err != nil {
		return nil, err
	}
	_, err = f.Seek(0, 2)
	return f, err
}

// closeFiles closes the lab's copies of a program's descriptors.
func closeFiles(cmd *exec.Cmd) {
	for _, f := range append(slices.Clone(cmd.ExtraFiles), file(cmd.Stdin), file(cmd.Stdout), file(cmd.Stderr)) {
		if f != nil {
			f.Close()
		}
	}
}

func file(v any) *os.File {
	f, _ := v.(*os.File)
	return f
}

// plain runs the subject's program once more, without the library and without checkpoints, in a copy of its first
// directory. It returns the finished run.
func (p *subject) plain() (*subject, error) {
	q := &subject{
		session: p.session, name: p.name + ".plain", argv: p.argv, env: p.env, stdin: p.stdin,
		bare: true, pidfd: -1, dir: filepath.Join(p.session.work, p.name+".plain"),
	}
	if p.term != nil {
		return nil, fmt.Errorf("%s: a program on a terminal has no plain run", p.name)
	}
	if err := exec.Command("cp", "-aT", p.origin, q.dir).Run(); err != nil {
		return nil, fmt.Errorf("%s: copy of %s: %w", p.name, p.dir, err)
	}
	q.captures()
	if err := q.proceed(); err != nil {
		return nil, err
	}
	if err := q.start(); err != nil {
		return nil, err
	}
	p.session.subjects[q.name] = q
	if err := q.gone(p.session.lab.params.Bound * 4); err != nil {
		return nil, fmt.Errorf("%w; output: %s%s", err, q.output.rest(), q.complaints())
	}
	return q, nil
}

// captures sets the files that the subject's output goes to.
func (p *subject) captures() {
	p.output = &capture{path: filepath.Join(p.session.work, p.name+".out")}
	p.errors = filepath.Join(p.session.work, p.name+".err")
}

// proceed makes the file named go in the program's working directory, which the program waits for.
func (p *subject) proceed() error {
	path := filepath.Join(p.dir, "go")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return p.session.identity.own(path)
}

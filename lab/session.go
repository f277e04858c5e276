package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

type sessionKey struct{}

// A session is one running script: its identity, and the programs that it has started.
type session struct {
	lab      *Lab
	identity Identity
	work     string   // $WORK
	images   string   // $CRAK_DIR
	token    string   // entry in the environment of every process that the script starts
	env      []string // environment of every program
	subjects map[string]*subject
	newest   string // path of the newest image: $IMAGE

	descriptors string // hard limit of crak; empty: that of the lab
}

func sessionOf(ts *testscript.TestScript) *session {
	s, ok := ts.Value(sessionKey{}).(*session)
	if !ok {
		ts.Fatalf("lab: the script's Setup is not the lab's: see Lab.Testscript")
	}
	return s
}

// subject finds the program that the script has given this name.
func (s *session) subject(name string) (*subject, error) {
	p, ok := s.subjects[name]
	if !ok {
		return nil, fmt.Errorf("%s: no such program: start it first", name)
	}
	return p, nil
}

// command prepares a program that runs as the script's identity, in dir.
func (s *session) command(dir string, env []string, path string, args ...string) *exec.Cmd {
	if path == s.lab.crak && s.descriptors != "" {
		path, args = "prlimit", append([]string{"--nofile=" + s.descriptors, path}, args...)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(s.env), env...)
	cmd.SysProcAttr = s.identity.attributes()
	return cmd
}

// lookup finds the path of a program: a path as it is, a workload of the lab (compiled if necessary), or a program of
// the system.
func (s *session) lookup(program string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	path, err := s.lab.build.program(program)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	for _, dir := range systemPath {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: neither a workload in %s nor a program in %s",
		program, s.lab.params.Programs, strings.Join(systemPath, ":"))
}

// makeDir makes a directory that belongs to the identity.
func (s *session) makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return s.identity.own(dir)
}

// close ends everything that the script has started, and reports what does not end.
func (s *session) close() error {
	var errs []error
	for _, p := range s.subjects {
		if err := p.end(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := s.sweep(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.unmount())...)
}

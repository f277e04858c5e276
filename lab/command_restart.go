package lab

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

func cmdRestart(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	options, image := c.args[1:], p.image
	if n := len(options); n > 0 && !strings.HasPrefix(options[n-1], "-") {
		options, image = options[:n-1], c.ts.MkAbs(options[n-1])
	}
	return p.restart(c, image, options...)
}

// restart runs crak restart. That stays until the program ends, and then has the program's exit status. With --detach it
// ends as soon as the program runs.
func (p *subject) restart(c *call, image string, options ...string) error {
	if p.pidfd >= 0 {
		return fmt.Errorf("%s: still running: crash it first", p.name)
	}
	if image == "" {
		return fmt.Errorf("%s: no image: checkpoint it first", p.name)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	args := append([]string{"restart", "--status-fd=3"}, options...)
	cmd := p.session.command(p.session.work, nil, p.session.lab.crak, append(args, image)...)
	cmd.ExtraFiles = []*os.File{w}
	said := p.output.path + ".restart"
	if err := os.RemoveAll(said); err != nil {
		return err
	}
	if err := p.connect(cmd, said); err != nil {
		return errors.Join(err, w.Close())
	}
	if slices.Contains(options, "--detach") {
		cmd.Stdout = nil // its output is the PID, which the status descriptor has too
	}
	err = p.launch(cmd, func(int) error { return nil })
	closeFiles(cmd)
	if err != nil {
		return err
	}
	return p.resumed(c, cmd, r, said)
}

// resumed waits until the program goes on, or crak has given up.
func (p *subject) resumed(c *call, cmd *exec.Cmd, r *os.File, said string) error {
	if err := r.SetReadDeadline(time.Now().Add(p.session.lab.params.Bound)); err != nil {
		return err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	text, _ := os.ReadFile(said) // there is none on a terminal
	c.output(nil, text)
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			<-p.ended
		}
		return fmt.Errorf("crak restart: no program: %w: %v; %s", err, cmd.ProcessState, text)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return fmt.Errorf("crak restart: status %q: %w", line, err)
	}
	if err := p.adopt(pid); err != nil {
		// The program, and crak with it, may have ended already.
		<-p.ended
		p.pid = pid
	}
	c.ts.Setenv(p.name+"_pid", strconv.Itoa(pid))
	c.ts.Setenv(p.name+"_crak", strconv.Itoa(cmd.Process.Pid))
	return p.unparked()
}

// unparked waits until every thread of every member has left the resident's signal handler. crak reports success a moment before
// that.
func (p *subject) unparked() error {
	members, err := p.members()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(p.session.lab.params.Bound)
	for _, pid := range members {
		for {
			parked, err := parked(pid)
			if err != nil {
				return err
			}
			if !parked {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s: pid %d: threads are still parked after the restart", p.name, pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A storm is a series of checkpoints without a pause between them. The program changes the text of its link beat all the time.
type storm struct {
	*subject
	until  time.Time
	images int    // that were committed
	killed int    // writers
	said   string // by crak, where there was no image
	beat   string // the program's newest one
	beaten time.Time
}

// cmdStorm makes checkpoints of a program as fast as possible for some time. A checkpoint may be refused. The script fails if the
// program ends or stands still.
func cmdStorm(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	length, err := time.ParseDuration(c.args[1])
	if err != nil {
		return err
	}
	t := &storm{subject: p, until: time.Now().Add(length), beaten: time.Now()}
	// On a busy machine it may take longer than that to the first image.
	latest := t.until.Add(s.lab.params.Bound)
	for n := 0; time.Now().Before(t.until) || t.images == 0 && time.Now().Before(latest); n++ {
		if c.on("trigger") && n%2 == 1 {
			if err := p.signal(unix.SIGUSR2); err != nil {
				return err
			}
		}
		if err := t.checkpoint(n%3 == 2); err != nil {
			return err
		}
		if err := t.alive(); err != nil {
			return err
		}
	}
	c.output([]byte(fmt.Sprintf("%d images, %d writers killed\n", t.images, t.killed)), nil)
	if t.images == 0 {
		return fmt.Errorf("%s: not one image; crak said at last: %s", p.name, t.said)
	}
	return t.settle()
}

// checkpoint makes one checkpoint, and removes its image. With kill it kills the writer at a random moment.
func (t *storm) checkpoint(kill bool) error {
	cmd := t.session.command(t.session.work, nil, t.session.lab.crak, "checkpoint", strconv.Itoa(t.pid))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	if kill {
		timer := time.AfterFunc(rand.N(300*time.Millisecond), func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	err := cmd.Wait()
	var ended *exec.ExitError
	switch {
	case err == nil:
		t.images++
	case !errors.As(err, &ended):
		return err
	case !ended.Exited():
		t.killed++
	default:
		t.said = out.String()
	}
	images, err := filepath.Glob(filepath.Join(t.session.images, "*", "[0-9]*"))
	for _, image := range images {
		err = errors.Join(err, os.RemoveAll(image))
	}
	return err
}

// alive returns an error if the program has ended, or if it has not changed its beat for a long time.
func (t *storm) alive() error {
	select {
	case <-t.over:
		return t.postmortem(fmt.Errorf("%s: lost after %d images; crak said at last: %s", t.name, t.images, t.said))
	default:
	}
	beat, _ := os.Readlink(filepath.Join(t.dir, "beat"))
	if beat != t.beat {
		t.beat, t.beaten = beat, time.Now()
	}
	if still := time.Since(t.beaten); still > t.session.lab.params.Bound {
		return fmt.Errorf("%s: stands still for %v, after %d images; crak said at last: %s", t.name, still, t.images, t.said)
	}
	return nil
}

// settle waits until the program has changed its beat once more after the last checkpoint.
func (t *storm) settle() error {
	last := t.beat
	for t.beat == last {
		time.Sleep(10 * time.Millisecond)
		if err := t.alive(); err != nil {
			return err
		}
	}
	return nil
}

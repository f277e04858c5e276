package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func cmdCheckpoint(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	return p.checkpoint(c, c.args[1:]...)
}

// checkpoint runs crak checkpoint. Its standard output must be the path of the image alone.
func (p *subject) checkpoint(c *call, options ...string) error {
	s := p.session
	args := append([]string{"checkpoint"}, options...)
	cmd := s.command(s.work, nil, s.lab.crak, append(args, strconv.Itoa(p.pid))...)
	stdout, err := s.capture(c, cmd)
	if err != nil {
		return p.postmortem(err)
	}
	path, ok := strings.CutSuffix(stdout, "\n")
	if !ok || strings.Contains(path, "\n") || !filepath.IsAbs(path) {
		return fmt.Errorf("crak checkpoint: standard output is %q, not an image's path alone", path)
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	p.taken(c, path)
	if slices.Contains(options, "--kill") {
		if err := p.gone(s.lab.params.Bound); err != nil {
			return err
		}
		return p.vanished()
	}
	return nil
}

// taken sets $IMAGE to the newest image.
func (p *subject) taken(c *call, path string) {
	p.image, p.session.newest = path, path
	c.ts.Setenv("IMAGE", path)
}

func cmdTrigger(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	sig := unix.SIGUSR2
	if len(c.args) == 2 {
		if sig, err = signalNumber(c.args[1]); err != nil {
			return err
		}
	}
	return p.trigger(c, sig)
}

// trigger sends the signal that asks for a checkpoint, and waits for the line about it in crak.log.
func (p *subject) trigger(c *call, sig unix.Signal) error {
	s := p.session
	log := &capture{path: filepath.Join(s.images, "crak.log")}
	log.mark = len(log.all())
	before := s.latest()
	if err := p.signal(sig); err != nil {
		return err
	}
	const bounds = 3 // a writer that the program keeps waiting says so after a minute
	err := watch(s.images, p.over, bounds*s.lab.params.Bound, func() (bool, error) {
		return strings.Contains(log.all()[log.mark:], "\n"), nil
	})
	c.output([]byte(log.rest()), nil)
	if err != nil {
		return p.postmortem(fmt.Errorf("%s: no line in %s: %w", p.name, log.path, err))
	}
	for path := range s.latest() {
		if !before[path] {
			p.taken(c, path)
			return nil
		}
	}
	return p.postmortem(fmt.Errorf("%s: no image; %s says: %s; output: %s%s", p.name, log.path, log.rest(), p.output.rest(), p.complaints()))
}

// all is the content of the file. It is empty if the file does not exist yet.
func (c *capture) all() string {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return ""
	}
	return string(data)
}

// latest lists the images to which the links with the name latest lead in the script's image directory.
func (s *session) latest() map[string]bool {
	links, _ := filepath.Glob(filepath.Join(s.images, "*", "latest")) // the pattern is good
	images := map[string]bool{}
	for _, link := range links {
		if path, err := filepath.EvalSymlinks(link); err == nil {
			images[path] = true
		}
	}
	return images
}

package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Pipe is the record of a pipe to the outside: what stdin, stdout or stderr was. It is taken over from
// crak restart's own.
type Pipe struct {
	Standard int `json:"standard"` // 0, 1, 2: which of crak restart's own
}

var pipe = kind{
	name:      "pipe",
	inherited: true,
	is:        func(o *open) bool { return o.format() == unix.S_IFIFO && !o.hasPath() },
	capture:   capturePipe,
	describe: func(d image.Description) string {
		r, _ := record[Pipe](d)
		return fmt.Sprintf("pipe (crak restart's own descriptor %d)", r.Standard)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Pipe](d)
		if err != nil {
			return nil, err
		}
		return takeOver(r.Standard, d.Flags, env)
	},
}

// capturePipe takes a pipe that comes from outside on 0, 1 or 2, and whatever else is open on the same end.
func capturePipe(c *capture, g shared) (any, error) {
	o := g.first()
	e := c.pipes[o.inode()]
	if e.read && e.write {
		return nil, pipeObstacle(o, fmt.Sprintf("the program has both ends, and %s has it open, too", processName(e.outside[0].pid)))
	}
	standard := -1
	for _, other := range c.all {
		if other.inode() == o.inode() && other.fd <= 2 && standard < 0 {
			standard = other.fd
		}
	}
	if standard < 0 {
		return nil, obstacle.Obstacle{
			What:   endOf(o),
			Detail: o.link,
			Why:    "its other end is outside the program",
			Do:     startWithout(o),
			Option: leaveOut(o),
		}
	}
	return &Pipe{Standard: standard}, nil
}

func endOf(o *open) string {
	return choose(o.writable(), "write end of a pipe", "read end of a pipe")
}

func pipeObstacle(o *open, why string) error {
	return obstacle.Obstacle{
		What:   endOf(o),
		Detail: o.link,
		Why:    why,
		Do:     "close the pipe there, or end that process, before the checkpoint",
	}
}

// takeOver gives the program one of crak restart's own stdin, stdout and stderr: the same description, as a pipe cannot be
// opened anew with its other end where it is.
func takeOver(standard int, flags uint32, env *Env) (*os.File, error) {
	if standard < 0 || standard > 2 {
		return nil, fmt.Errorf("pipe: descriptor %d is not stdin, stdout or stderr", standard)
	}
	own := env.Stdio[standard]
	if own == nil {
		return openPath(os.DevNull, flags&unix.O_ACCMODE, 0)
	}
	return duplicate(own)
}

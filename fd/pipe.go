package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Pipe is the record of stdin, stdout or stderr if it is a pipe to another process. A restart takes over crak
// restart's own descriptor.
type Pipe struct {
	Standard int `json:"standard"` // 0, 1 or 2: the descriptor of crak restart
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

// capturePipe accepts a pipe to another process as descriptor 0, 1 or 2, and other descriptors of the same end.
func capturePipe(c *capture, o *open) (any, error) {
	e := c.pipes[o.inode()]
	if e.read && e.write {
		return nil, pipeObstacle(o, fmt.Sprintf("the program has both ends, and %s has it open, too", processName(e.outside[0].pid)))
	}
	standard, known := c.standard[o.inode()]
	if !known {
		return nil, obstacle.Obstacle{
			What:   endOf(o),
			Detail: o.link,
			Why:    "its other end is outside the program",
			Do:     startWithout(o.fd),
			Option: leaveOut(o.fd),
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

// takeOver returns stdin, stdout or stderr of crak restart, the same description: a pipe cannot be opened anew with
// the same process at its other end.
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

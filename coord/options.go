package coord

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// Options of a checkpoint. An option that is not set has the value of the setting that the program was started with: CRAK_DIR,
// CRAK_COMPRESS, CRAK_TWIN and so on.
type Options struct {
	Pid           int
	Output        string       // path of the image; default: CRAK_DIR/<program>.<pid>/<sequence>
	Parent        *os.File     // directory of Output, already opened; nil: it is not
	Rights        *Rights      // result of Adopt
	Kill          bool         // end the program; it does not run after the instant of the image
	Only          bool         // leave out all processes but this one
	Skip          []string     // PIDs and names (comm) of processes to leave out, with their descendants
	Overrides     fd.Overrides // what the image has in place of some descriptors, in every member that has them open
	SelfContained bool
	WithFiles     bool
	Compress      string                     // "zstd", "none" or ""
	Twin          string                     // "auto", "need", "never" or ""
	Progress      func(*image.Writer, []int) // called with the image's writer when it is created, and the PIDs of the members
	Resumed       func()                     // called when the program runs again; may be nil
	Context       context.Context            // the checkpoint is given up when it is done; nil: never
	Settings      map[string]string          // used to find the log if the resident does not answer
	Starter       int                        // the process that started this writer, if a process of the group did
	Secret        []byte                     // the secret of its resident; nil: read it from its memory

	Explain bool // of Check: report what becomes of each descriptor

	phase func(string) // may be nil; a test ends the writer when it has come to a phase
}

// Result is a committed image.
type Result struct {
	Path  string
	Pause time.Duration // how long the program was frozen
	Note  string        // why the program was frozen until its memory was written, or ""

	Notices []string // who was left out
}

// overrides are the choices for a member. A descriptor that is not open is an error for the root only.
func (c *checkpoint) overrides(m *member) fd.Overrides {
	if m.pid == c.Pid || len(c.Overrides) == 0 {
		return c.Overrides
	}
	open, _ := proc.Fds(m.live)
	return c.Overrides.Only(func(number int) bool { return slices.Contains(open, number) })
}

func (c *checkpoint) compress() (bool, error) {
	choice := c.Compress
	if choice == "" {
		choice = c.settings["CRAK_COMPRESS"]
	}
	switch choice {
	case "", "zstd":
		return true, nil
	case "none":
		return false, nil
	}
	return false, fmt.Errorf("compression %q: neither zstd nor none", choice)
}

// directory is CRAK_DIR. It is relative to the directory in which the program was started, and defaults to it.
func (c *checkpoint) directory() string {
	return c.fromStart(c.settings["CRAK_DIR"])
}

func (c *checkpoint) fromStart(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.settings["CRAK_START_DIR"], path)
}

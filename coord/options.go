package coord

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// Options of a checkpoint. What is not set is as the program was started: CRAK_DIR and its kin.
type Options struct {
	Pid           int
	Output        string       // path of the image; default: CRAK_DIR/<program>.<pid>/<sequence>
	Parent        *os.File     // the directory of Output, if it is open
	Rights        *Rights      // that Adopt has taken from the program, or nil
	Kill          bool         // end the program; it does not run on after the instant of the image
	Overrides     fd.Overrides // what the image has in place of some descriptors
	SelfContained bool
	Compress      string              // "zstd", "none" or ""
	Twin          string              // "auto", "need", "never" or ""
	Progress      func(*image.Writer) // told of the writer as soon as there is one
	Context       context.Context     // gives up when it is done; nil: never
	Settings      map[string]string   // where to note the outcome, should there be no word with the program
	Secret        []byte              // of the program, which has started us itself; nil: it is to be read
}

// Result is a committed image.
type Result struct {
	Path  string
	Pause time.Duration // how long the program stood still
	Note  string        // why it stood still until its memory was written, or ""
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

// directory is CRAK_DIR, relative to where the program was started, which is also its default.
func (c *checkpoint) directory() string {
	return c.fromStart(c.settings["CRAK_DIR"])
}

func (c *checkpoint) fromStart(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.settings["CRAK_START_DIR"], path)
}

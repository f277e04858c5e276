package coord

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// log notes the outcome where the user of `kill -USR2` finds it: CRAK_LOG, or crak.log beside the images. It
// is the only thing that such a user ever hears, and never goes to the program's own output.
func (c *checkpoint) log(result *Result, err error) {
	path := filepath.Join(c.directory(), "crak.log")
	if set := c.settings["CRAK_LOG"]; set != "" {
		path = c.fromStart(set)
	}
	f, openErr := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if openErr != nil {
		return
	}
	defer f.Close()
	outcome := ""
	if err != nil {
		outcome = "no checkpoint: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	} else {
		outcome = fmt.Sprintf("image %s (pause %.1f ms, %.2f s in all)", result.Path,
			float64(result.Pause.Microseconds())/1000, time.Since(c.begun).Seconds())
	}
	fmt.Fprintf(f, "%s pid %d: %s\n", time.Now().Format(time.RFC3339), c.Pid, outcome)
}

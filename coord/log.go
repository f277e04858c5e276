package coord

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

const logName = "crak.log"

// log notes the outcome where the user of `kill -USR2` finds it: CRAK_LOG, or crak.log beside the images; or, where that
// is not to be had, in the directory that the program was started in. It is the only thing that such a user ever hears, and
// never goes to the program's own output.
func (c *checkpoint) log(result *Result, err error) {
	path := filepath.Join(c.directory(), logName)
	if set := c.settings["CRAK_LOG"]; set != "" {
		path = c.fromStart(set)
	}
	f, openErr := openLog(path)
	if openErr != nil {
		f, openErr = openLog(c.fromStart(logName))
	}
	if openErr != nil {
		return
	}
	defer f.Close()
	c.giveToUser(f)
	outcome := ""
	if err != nil {
		outcome = "no checkpoint: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	} else {
		outcome = fmt.Sprintf("image %s (pause %.1f ms, %.2f s in all)", result.Path,
			float64(result.Pause.Microseconds())/1000, time.Since(c.begun).Seconds())
	}
	fmt.Fprintf(f, "%s pid %d: %s\n", time.Now().Format(time.RFC3339), c.Pid, outcome)
}

// openLog does not wait for the reader of a FIFO.
func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
}

// giveToUser: a log that root begins for somebody else's program has to take that user's lines, too.
func (c *checkpoint) giveToUser(f *os.File) {
	status, err := proc.Read(c.Pid, "status", proc.Status)
	info, infoErr := f.Stat()
	if os.Geteuid() != 0 || err != nil || infoErr != nil || info.Size() > 0 || !info.Mode().IsRegular() {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 1 && st.Uid == 0 {
		f.Chown(int(status.Uid[1]), int(status.Gid[1]))
	}
}

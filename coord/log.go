package coord

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/printable"
)

const logName = "crak.log"

// log writes the outcome to the program's log: the file CRAK_LOG, or crak.log in CRAK_DIR. If that file cannot be opened, it is
// crak.log in the directory in which the program was started. A user of kill -USR2 learns the outcome only from this log.
// Nothing is ever written to the program's own output.
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
	outcome := ""
	if notKilled := (*notKilledError)(nil); errors.As(err, &notKilled) {
		outcome = plain(err.Error())
	} else if err != nil {
		outcome = "no checkpoint: " + plain(err.Error())
	} else {
		pause := fmt.Sprintf("pause %.1f ms", float64(result.Pause.Microseconds())/1000)
		if c.Kill {
			pause = "the program is ended"
		}
		outcome = fmt.Sprintf("image %s (%s, %.2f s in all)", plain(result.Path), pause, time.Since(c.begun).Seconds())
		if result.Note != "" {
			outcome += "; without a twin: " + plain(result.Note)
		}
	}
	fmt.Fprintf(f, "%s pid %d: %s\n", time.Now().Format(time.RFC3339), c.Pid, outcome)
}

// openLog opens a log. O_NONBLOCK: a FIFO without a reader is an error, not a wait. In a directory such as /tmp another user could
// have made the file, or a symbolic link on the way to it: these are not used.
func openLog(path string) (*os.File, error) {
	f, err := image.OpenFile(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			err = fmt.Errorf("%s: belongs to user %d", path, st.Uid)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	f.SetWriteDeadline(time.Now().Add(time.Second)) // a FIFO may be full; other files have no deadline
	return f, nil
}

// plain is text in one line. The lines of an error are separated by "; ".
func plain(text string) string {
	return printable.Text(strings.ReplaceAll(text, "\n", "; "))
}

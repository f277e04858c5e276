package coord

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
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
	outcome := ""
	if survivor := (*survivorError)(nil); errors.As(err, &survivor) {
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

// openLog does not wait for the reader of a FIFO.
func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
}

// plain is text that cannot end its line, nor speak to a terminal: what is not printable becomes an escape of Go's. The lines
// of an error are set apart by "; ".
func plain(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteString("; ")
		}
		for _, r := range line {
			if unicode.IsPrint(r) {
				b.WriteRune(r)
			} else {
				b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
			}
		}
	}
	return b.String()
}

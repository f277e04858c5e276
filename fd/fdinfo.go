package fd

import (
	"bytes"
	"fmt"
	"strconv"

	"crak.dev/crak/internal/proc"
)

// lines are the lines of fdinfo that only one kind of description has (proc_pid_fdinfo(5)).
type lines []proc.Field

// fdinfo reads these lines. It reads them through the handle, if there is one that shares the description: nobody can exchange
// the description then.
func (o *open) fdinfo() (lines, error) {
	path := fmt.Sprintf("%s/fdinfo/%d", o.member.Proc, o.fd)
	if o.handle.asks() {
		path = fmt.Sprintf("/proc/self/fdinfo/%d", o.handle.fd)
	}
	text, err := proc.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := proc.Fdinfo(bytes.NewReader(text))
	return info.Extra, err
}

// number finds a line by its key and parses its number.
func (l lines) number(key string, base int) (uint64, error) {
	for _, line := range l {
		if line.Key == key {
			n, err := strconv.ParseUint(line.Value, base, 64)
			if err != nil {
				return 0, fmt.Errorf("fdinfo: %s: %q: not a number", key, line.Value)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("fdinfo: no line %q", key)
}

// text is the value of the line with a key, or "".
func (l lines) text(key string) string {
	for _, line := range l {
		if line.Key == key {
			return line.Value
		}
	}
	return ""
}

// has tells whether there is a line with a key.
func (l lines) has(key string) bool {
	for _, line := range l {
		if line.Key == key {
			return true
		}
	}
	return false
}

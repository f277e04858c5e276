package fd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An Override is what a restart makes in place of a descriptor: nothing, /dev/null, or the file at an absolute path. An override at a
// checkpoint changes only the image: the program itself keeps the descriptor.
type Override string

const (
	LeaveOut  Override = "close"     // nothing; "tcp=close" is Reset for a connection (connectionChoice)
	DevNull   Override = "null"      // /dev/null
	Reset     Override = "reset"     // the same TCP socket, whose peer has reset the connection
	Reconnect Override = "reconnect" // the same TCP socket, with a new connection to the same peer
	Ignore    Override = "ignore"    // the same file, whatever has become of it
	Stdin     Override = "stdin"     // standard input, output or error of crak restart
	Stdout    Override = "stdout"
	Stderr    Override = "stderr"
)

// standard is the number of the descriptor of crak restart that the override stands for, or -1.
func (o Override) standard() int { return slices.Index([]Override{Stdin, Stdout, Stderr}, o) }

// keepsSocket tells whether the override is one for a TCP connection (tcp_choice.go).
func (o Override) keepsSocket() bool { return o == Reset || o == Reconnect }

func (o Override) isPath() bool { return filepath.IsAbs(string(o)) }

// A Choice is an override of the user, for a descriptor number or for a kind of descriptor.
type Choice struct {
	Number  int      `json:"number"`            // -1: Kind decides
	Kind    string   `json:"kind,omitempty"`    // as crak inspect shows it, or the first word of the message that refuses it: "inotify"
	Pattern string   `json:"pattern,omitempty"` // what the descriptor is open on must match this; "": every descriptor of the kind
	Instead Override `json:"instead"`
}

// Overrides are the choices of the user. Each is a flag on the command line: "251=close", "inotify=close", "regular:/tmp/*=null". The
// first choice that fits a descriptor decides. A choice for its number takes precedence over a choice for its kind.
type Overrides []Choice

// Set adds a choice, or the choices in a file: "@path".
func (o *Overrides) Set(text string) error {
	if path, isFile := strings.CutPrefix(text, "@"); isFile {
		return o.read(path)
	}
	which, instead, _ := strings.Cut(text, "=")
	c := Choice{Number: -1, Instead: Override(instead)}
	if number, err := strconv.ParseUint(which, 10, 31); err == nil {
		c.Number = int(number)
	} else {
		c.Kind, c.Pattern, _ = strings.Cut(which, ":")
		c.Kind = plainKind(c.Kind)
	}
	known := c.Instead.isPath() || c.Instead.keepsSocket() || c.Instead.standard() >= 0 || slices.Contains([]Override{LeaveOut, DevNull, Ignore}, c.Instead)
	if !known || c.Number < 0 && !kindWord.MatchString(c.Kind) {
		return fmt.Errorf("%q is not N=close, N=null, N=stdin, N=stdout, N=stderr, N=reset, N=reconnect, N=ignore or N=/path, "+
			"where N is a descriptor's number, a kind or KIND:PATTERN, and not @FILE", text)
	}
	if c.Instead.keepsSocket() && c.Number < 0 && c.Kind != plainKind(tcpObjects.name) {
		return fmt.Errorf("%q: %s is for TCP connections: N=%[2]s, tcp=%[2]s or tcp:PATTERN=%[2]s", text, c.Instead)
	}
	*o = append(slices.DeleteFunc(*o, func(other Choice) bool { return other.which() == c.which() }), c)
	return nil
}

// choicesMost is the size of a file with choices, in bytes, at most.
const choicesMost = 1 << 20

// read adds the choices of a file: one in each line. A line that is empty, or begins with #, is none.
func (o *Overrides) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, choicesMost+1))
	if err == nil && len(text) > choicesMost {
		err = fmt.Errorf("%s: more than %d bytes", path, choicesMost)
	}
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		err := fmt.Errorf("%q: a file in a file", line)
		if line[0] != '@' {
			err = o.Set(line)
		}
		if err != nil {
			return fmt.Errorf("%s line %d: %w", path, i+1, err)
		}
	}
	return nil
}

var kindWord = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

func (c Choice) which() string {
	switch {
	case c.Number >= 0:
		return strconv.Itoa(c.Number)
	case c.Pattern != "":
		return c.Kind + ":" + c.Pattern
	}
	return c.Kind
}

func (o *Overrides) String() string {
	var all []string
	for _, c := range *o {
		all = append(all, c.which()+"="+string(c.Instead))
	}
	return strings.Join(all, ",")
}

// Type is what the help calls the value.
func (o *Overrides) Type() string {
	return "N|KIND[:PATTERN]=CHOICE|@FILE"
}

// Only returns the choices that are for kinds, or for a number for which keep returns true.
func (o Overrides) Only(keep func(number int) bool) Overrides {
	return slices.DeleteFunc(slices.Clone(o), func(c Choice) bool { return c.Number >= 0 && !keep(c.Number) })
}

// CheckpointOnly refuses paths: a checkpoint opens no other file in place of a descriptor.
func (o Overrides) CheckpointOnly() error {
	for _, c := range o {
		if c.Instead.isPath() {
			return fmt.Errorf("--fd %s=%s: a path is for crak restart", c.which(), c.Instead)
		}
		if c.Instead == Ignore {
			return fmt.Errorf("--fd %s=%s is for crak restart", c.which(), c.Instead)
		}
	}
	return nil
}

// ofNumber is the choice for a descriptor number, or "".
func (o Overrides) ofNumber(number int) Override {
	for _, c := range o {
		if c.Number == number {
			return c.Instead
		}
	}
	return ""
}

// ofKind is the choice for a kind of descriptor that is open on something, or "".
func (o Overrides) ofKind(kind, on string) Override {
	kind = plainKind(kind)
	for _, c := range o {
		if c.Number < 0 && c.Kind == kind && (c.Pattern == "" || matches(c.Pattern, on)) {
			return c.Instead
		}
	}
	return ""
}

// plainKind is a shorter name that a user may give a kind: "tcp" for "tcp_socket". It is "pipe" for every end of a pipe, because a
// checkpoint applies the choices before it knows whether all ends of the pipe are in the group.
func plainKind(kind string) string {
	if kind == pipeEnd.name {
		return pipe.name
	}
	return strings.TrimSuffix(kind, "_socket")
}

// matches matches a shell pattern. Unlike in path.Match, "*" and "?" match a slash, too.
func matches(pattern, text string) bool {
	expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	found, err := regexp.MatchString(`(?s)^`+expression+`$`, text)
	return found && err == nil
}

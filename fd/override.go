package fd

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// An Override is what is restored in place of a descriptor: nothing, /dev/null, or the file at an absolute path. In a checkpoint
// only the image is changed: the program itself keeps the descriptor.
type Override string

const (
	LeaveOut Override = "close" // nothing
	DevNull  Override = "null"  // /dev/null
)

func (o Override) isPath() bool { return filepath.IsAbs(string(o)) }

// A Choice is an override of the user, for a descriptor number or for a kind of descriptor.
type Choice struct {
	Number  int      `json:"number"`            // -1: Kind decides
	Kind    string   `json:"kind,omitempty"`    // as crak inspect shows it, or the first word by which a checkpoint refuses it: "inotify"
	Pattern string   `json:"pattern,omitempty"` // what it is open on must match it; "": it does
	Instead Override `json:"instead"`
}

// Overrides are the choices of the user. Each is a flag on the command line: "251=close", "inotify=close", "regular:/tmp/*=null". The
// first choice that fits a descriptor decides; one for its number comes before one for its kind.
type Overrides []Choice

// Set adds a choice.
func (o *Overrides) Set(text string) error {
	which, instead, _ := strings.Cut(text, "=")
	c := Choice{Number: -1, Instead: Override(instead)}
	if number, err := strconv.ParseUint(which, 10, 31); err == nil {
		c.Number = int(number)
	} else {
		c.Kind, c.Pattern, _ = strings.Cut(which, ":")
		if c.Kind == pipeEnd.name {
			c.Kind = pipe.name
		}
	}
	if !c.Instead.isPath() && c.Instead != LeaveOut && c.Instead != DevNull || c.Number < 0 && !kindWord.MatchString(c.Kind) {
		return fmt.Errorf("%q is not N=close, N=null or N=/path, where N is a descriptor's number, a kind or KIND:PATTERN", text)
	}
	*o = append(slices.DeleteFunc(*o, func(other Choice) bool { return other.which() == c.which() }), c)
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
func (o *Overrides) Type() string { return "N|KIND[:PATTERN]=close|null" }

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
	if kind == pipeEnd.name { // whether all ends of a pipe are in the group is not known yet when a checkpoint asks
		kind = pipe.name
	}
	for _, c := range o {
		if c.Number < 0 && c.Kind == kind && (c.Pattern == "" || matches(c.Pattern, on)) {
			return c.Instead
		}
	}
	return ""
}

// matches matches a shell pattern. Unlike in path.Match, "*" and "?" match a slash, too.
func matches(pattern, text string) bool {
	expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	found, err := regexp.MatchString(`(?s)^`+expression+`$`, text)
	return found && err == nil
}

// missing is an error if a choice is for a descriptor that is not open: the user may have mistyped the number.
func (o Overrides) missing(all []*slot) error {
	for _, c := range o {
		if c.Number >= 0 && !slices.ContainsFunc(all, func(s *slot) bool { return s.fd == c.Number }) {
			return fmt.Errorf("fd %d: not open, so --fd %d=%s has no effect", c.Number, c.Number, c.Instead)
		}
	}
	return nil
}

// kindOrWord is the name of a description's kind. A kind that is not supported is called by the first word of its refusal. The
// group's sockets may not have been found yet.
func (o *open) kindOrWord() string {
	k := kindOf(o)
	if k != &unsupported {
		return k.name
	}
	word, _, _ := strings.Cut(strings.ToLower(refusal(o).What), " ")
	if strings.HasPrefix(word, "unix") {
		return unixSocketKind.name
	}
	return strings.TrimSuffix(word, "v6")
}

// nullDevice is the description for the Override DevNull.
func nullDevice(o *open) *taken {
	return &taken{
		description: image.Description{Kind: device.name, Flags: o.flags & unix.O_ACCMODE},
		record:      theNullDevice(),
	}
}

func theNullDevice() *Device {
	const minor = 3
	return &Device{Path: statelessDevices[minor], Minor: minor}
}

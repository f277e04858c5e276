package fd

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
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
	return "N|KIND[:PATTERN]=close|null|stdin|stdout|stderr|reset|reconnect"
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

// missing is an error if a choice is for a descriptor that is not open: the user may have mistyped the number.
func (o Overrides) missing(all []*slot) error {
	for _, c := range o {
		if c.Number >= 0 && !slices.ContainsFunc(all, func(s *slot) bool { return s.fd == c.Number }) {
			return fmt.Errorf("fd %d: not open, so --fd %d=%s has no effect", c.Number, c.Number, c.Instead)
		}
	}
	return nil
}

// override applies the choices for kinds, and for TCP connections. Preconditions: the writer has not yet looked at the group's sockets
// and pipes. What it finds there depends on the descriptors that are left out.
func (c *capture) override(descriptions []*open) error {
	var ends map[uint32]inetEnd // of all sockets of TCP and UDP, by inode
	for _, o := range descriptions {
		if o.override != "" || len(o.member.Overrides) == 0 {
			continue
		}
		on, connected := o.link, false
		o.findProtocol()
		if isTCP(o) || strings.HasPrefix(o.protocol, "UDP") {
			if ends == nil {
				var err error
				if ends, err = inetEnds(); err != nil {
					return err
				}
			}
			if end, known := ends[uint32(o.stat.Ino)]; known {
				on, connected = end.address, end.connected && isTCP(o)
			}
		}
		instead := o.member.Overrides.ofKind(o.kindOrWord(), on)
		if connected {
			instead = instead.connectionChoice()
		}
		if chosen, fd := o.connectionByNumber(); chosen != "" {
			if instead = chosen; !connected && o.member == c.members[0].member {
				return fmt.Errorf("fd %d: not a TCP connection, so --fd %d=%s has no effect", fd, fd, chosen)
			}
		}
		if instead.keepsSocket() {
			if connected {
				o.connection, c.chosen = instead, true
			}
			continue
		}
		if o.override = instead; instead != "" {
			o.protocol = ""
		}
	}
	return nil
}

// An inetEnd is what a socket of TCP or UDP is open on: the address of its peer, or its own address if it has no peer.
type inetEnd struct {
	address   string
	connected bool
}

func inetEndOf(own, peer netip.AddrPort) inetEnd {
	at := own
	if peer.Port() != 0 {
		at = peer
	}
	return inetEnd{netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String(), at == peer}
}

func inetEnds() (map[uint32]inetEnd, error) {
	ends := make(map[uint32]inetEnd)
	for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		all, err := inetSockets(protocol)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			ends[s.inode] = inetEndOf(s.own, s.peer)
		}
	}
	return ends, nil
}

// kindOrWord is the name of a description's kind. For a socket it is the protocol. For a kind that is not supported it is the first word
// of the message that refuses it.
func (o *open) kindOrWord() string {
	if o.protocol != "" {
		word, _, _ := strings.Cut(strings.ToLower(o.protocol), "-")
		return strings.TrimSuffix(word, "v6")
	}
	if k := kindOf(o); k != &unsupported {
		return k.name
	}
	word, _, _ := strings.Cut(strings.ToLower(refusal(o).What), " ")
	return word
}

// outside is the pattern of --fd for pipes to processes outside of the group: "pipe:outside=stdin".
const outside = "outside"

// overrideOutside applies the choice for pipes to processes outside of the group. Preconditions: the writer knows the ends of pipes.
func (o *open) overrideOutside() {
	if o.override == "" && len(o.member.Overrides) > 0 && kindOf(o) == &pipe {
		o.override = o.member.Overrides.ofKind(pipe.name, outside)
	}
}

// replaced is the description for an Override other than LeaveOut.
func replaced(o *open) (*taken, error) {
	if n := o.override.standard(); n >= 0 {
		return &taken{
			description: image.Description{Kind: pipe.name, Flags: o.flags & (unix.O_ACCMODE | unix.O_NONBLOCK)},
			record:      &Pipe{Standard: n},
		}, fitsStandard(o.flags, o.override)
	}
	return &taken{
		description: image.Description{Kind: device.name, Flags: o.flags & unix.O_ACCMODE},
		record:      theNullDevice(),
	}, nil
}

// fitsStandard refuses standard input for a descriptor that can only be written to, and standard output or error for one that can only
// be read.
func fitsStandard(flags uint32, instead Override) error {
	access := flags & unix.O_ACCMODE
	if instead == Stdin && access == unix.O_WRONLY || instead != Stdin && access == unix.O_RDONLY {
		return fmt.Errorf("--fd: %s has another access mode", instead)
	}
	return nil
}

func theNullDevice() *Device {
	const minor = 3
	return &Device{Path: statelessDevices[minor], Minor: minor}
}

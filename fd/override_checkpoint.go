package fd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

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

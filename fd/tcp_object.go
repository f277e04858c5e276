package fd

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// TCPSocket is the record of a TCP socket. What waits in its receive queue is its content.
type TCPSocket struct {
	Family int             `json:"family"`           // AF_INET, AF_INET6
	Own    *netip.AddrPort `json:"own,omitempty"`    // getsockname(2); absent: it is not bound
	Remote *netip.AddrPort `json:"remote,omitempty"` // getpeername(2), or the address that it is connecting to

	Listening bool   `json:"listening,omitempty"`
	Backlog   uint32 `json:"backlog,omitempty"`
	Order     uint32 `json:"order,omitempty"` // of listen(2), among the sockets of one address (SO_REUSEPORT)

	Connecting bool           `json:"connecting,omitempty"` // connect(2) has begun, and nobody has answered yet
	Listener   image.ObjectID `json:"listener,omitempty"`   // the connection waits for accept(2) in this listening socket
	Peer       image.ObjectID `json:"peer,omitempty"`
	Accepted   bool           `json:"accepted,omitempty"`  // accept(2) returned this end, so a restart connects to it
	Closed     bool           `json:"closed,omitempty"`    // the peer has been closed
	Over       bool           `json:"over,omitempty"`      // the connection has ended both ways
	Outside    *TCPOutside    `json:"outside,omitempty"`   // the peer is outside of the group
	Reconnect  bool           `json:"reconnect,omitempty"` // a restart makes a new connection to the same peer
	Error      int            `json:"error,omitempty"`     // errno of an error that the program has not seen yet
	Shutdown   uint8          `json:"shutdown,omitempty"`  // 1: no more receiving, 2: no more sending

	Late int `json:"late,omitempty"` // the last bytes of the content, which had not arrived yet

	Mark *tcpMark `json:"mark,omitempty"` // urgent data in the content

	Device     string             `json:"device,omitempty"`     // of SO_BINDTODEVICE
	Congestion string             `json:"congestion,omitempty"` // TCP_CONGESTION, if it is not that of new sockets
	Options    map[string][]int32 `json:"options,omitempty"`
	Filter     SocketFilter       `json:"filter,omitempty"`
}

var tcpObjects = objectKind{
	name:      "tcp_socket",
	addresses: addressesIn((*TCPSocket).replaceAddresses),
	check: func(o image.Object) error {
		_, err := tcpRecord(o)
		return err
	},
	end: func(o image.Object) inetEnd {
		r, err := tcpRecord(o)
		if err != nil {
			return inetEnd{}
		}
		return r.end()
	},
	describe: func(o image.Object) string {
		r, _ := tcpRecord(o)
		return r.describe()
	},
}

// init sets what refers to tcpObjects itself.
func init() {
	tcpObjects.make = func(o image.Object, env *Env) (madeObject, error) {
		r, err := tcpRecord(o)
		if err != nil {
			return nil, err
		}
		m := &madeTCP{id: o.ID, record: r}
		if err := m.make(env); err != nil {
			m.close()
			return nil, err
		}
		return m, nil
	}
}

func tcpRecord(o image.Object) (TCPSocket, error) {
	r, err := decode[TCPSocket](o.Record)
	if err != nil {
		return r, fmt.Errorf("record of a TCP socket: %w", err)
	}
	for _, at := range []*netip.AddrPort{r.Own, r.Remote} {
		if at == nil {
			continue
		}
		if !at.IsValid() || at.Addr().Is4() != (r.Family == unix.AF_INET) || len(at.Addr().Zone()) > unix.IFNAMSIZ {
			return r, fmt.Errorf("%s is not an address of family %d", at, r.Family)
		}
	}
	states := 0
	for _, is := range []bool{r.Listening, r.Connecting, r.Listener != 0, r.Peer != 0, r.Closed, r.Over, r.Reconnect, r.Outside != nil && !r.Over && !r.Reconnect} {
		if is {
			states++
		}
	}
	connected := r.isConnection() && (!r.Over || r.Outside != nil)
	switch {
	case r.Family != unix.AF_INET && r.Family != unix.AF_INET6:
		return r, fmt.Errorf("family %d is not one of a TCP socket", r.Family)
	case o.Size > tcpQueueMost || o.Size > 0 && r.Peer == 0 && !r.Closed && !r.Over && r.Outside == nil:
		return r, fmt.Errorf("%d bytes are in its queue", o.Size)
	case r.Late < 0 || uint64(r.Late) > o.Size:
		return r, fmt.Errorf("%d of %d bytes had not arrived", r.Late, o.Size)
	case states > 1 || r.Peer == o.ID || r.Shutdown > 3 || r.Error < 0 || r.Error > 133 || (r.Error != 0 && !r.Over):
		return r, errors.New("an impossible state")
	case connected && (r.Own == nil || r.Remote == nil) || r.Listening && r.Own == nil:
		return r, errors.New("an address is missing")
	}
	return r, errors.Join(checkOptions(r.Options, tcpTables...), r.Filter.check(), r.Outside.check(o.Size), r.Mark.check(o))
}

package fd

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

var inetObjects = objectKind{
	name:      "inet_socket",
	addresses: addressesIn((*InetSocket).replaceAddresses),
	check: func(o image.Object) error {
		_, err := inetRecord(o)
		return err
	},
	end: func(o image.Object) inetEnd {
		r, err := inetRecord(o)
		if err != nil || !r.Local.IsValid() && !r.Peer.IsValid() {
			return inetEnd{}
		}
		return inetEndOf(r.Local, r.Peer)
	},
	describe: func(o image.Object) string {
		r, _ := inetRecord(o)
		switch {
		case r.Peer.IsValid():
			return r.Local.String() + " - " + r.Peer.String()
		case r.Local.IsValid():
			return r.Local.String()
		}
		return ""
	},
	make: func(o image.Object, env *Env) (madeObject, error) {
		r, err := inetRecord(o)
		if err != nil {
			return nil, err
		}
		return r.make(env)
	},
}

func inetRecord(o image.Object) (InetSocket, error) {
	r, err := decode[InetSocket](o.Record)
	if err != nil {
		return r, fmt.Errorf("record of an Internet socket: %w", err)
	}
	total := 0
	for _, m := range r.Messages {
		if err := errors.Join(m.check(), r.checkAddress(m.From)); err != nil {
			return r, err
		}
		total += m.Size
	}
	switch {
	case r.Family != unix.AF_INET && r.Family != unix.AF_INET6, r.Type != unix.SOCK_DGRAM && r.Type != unix.SOCK_RAW, r.Protocol < 0 || r.Protocol > 255:
		return r, fmt.Errorf("family %d, type %d, protocol %d: not a socket of this kind", r.Family, r.Type, r.Protocol)
	case uint64(total) != o.Size || o.Size > queueMost:
		return r, fmt.Errorf("%d bytes, in datagrams %d", o.Size, total)
	case len(r.Device) >= unix.IFNAMSIZ:
		return r, fmt.Errorf("device %.40q", r.Device)
	}
	for name := range r.Interfaces {
		if _, known := indexOptions[name]; !known {
			return r, fmt.Errorf("socket option %.40q is not known", name)
		}
	}
	for _, g := range r.Groups {
		err = errors.Join(err, g.check())
	}
	return r, errors.Join(err, r.checkAddress(r.Local), r.checkAddress(r.Peer), checkOptions(r.Options, r.tables()...), r.Filter.check())
}

func (r *InetSocket) checkAddress(a netip.AddrPort) error {
	if a.IsValid() && a.Addr().Is4() != (r.Family == unix.AF_INET) {
		return fmt.Errorf("%s is not an address of family %d", a, r.Family)
	}
	return nil
}

package fd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/firewall"
)

// hold drops the packets of a connection that an image names. Root has asked for this image, but the user may have written anything into it.
func (s *keeperServer) hold(ends firewall.Connection, image string) error {
	if !ends.Own.IsValid() || !ends.Peer.IsValid() || ends.Own.Addr().Is4() != ends.Peer.Addr().Is4() {
		return errors.New("keeper: not a connection")
	}
	if first, err := firstUnprivileged(); err != nil || int(ends.Own.Port()) < first {
		return errors.Join(err, fmt.Errorf("%s: user %d may not use port %d", ends, s.user, ends.Own.Port()))
	}
	if other, err := firewall.HeldForOther(ends, s.user); err != nil || other {
		return errors.Join(err, fmt.Errorf("%s: its packets are dropped for another user", ends))
	}
	all, err := inetSockets(unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	for _, one := range all {
		if normal(firewall.Connection{Own: one.own, Peer: one.peer}) == ends {
			return fmt.Errorf("%s: this machine has this connection", ends)
		}
	}
	return firewall.Hold([]firewall.Connection{ends}, 0, s.user, image)
}

// firstUnprivileged is the first port that an ordinary user may use.
func firstUnprivileged() (port int, err error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err == nil {
		_, err = fmt.Sscan(string(text), &port)
	}
	return port, err
}

func (s *keeperServer) leave(socket int, image string) error {
	ends, err := connectionOf(socket)
	if err == nil && !s.held[ends] {
		err = fmt.Errorf("keeper: no connection %s", ends)
	}
	if err == nil {
		err = firewall.Hold([]firewall.Connection{ends}, 0, s.user, image)
	}
	if err == nil {
		delete(s.held, ends)
	}
	return err
}

func (s *keeperServer) check(ends firewall.Connection) error {
	held, err := firewall.HeldFor(ends, s.user)
	if err == nil && !held {
		err = fmt.Errorf("root's crak makes it anew for user %d only if crak checkpoint --kill, run by root on this machine, has ended the program, or after crak hold, run by root", s.user)
	}
	return err
}

// release lets the packets of a connection through, if they are dropped because of this user's program.
func (s *keeperServer) release(ends firewall.Connection) error {
	held, err := firewall.HeldFor(ends, s.user)
	if err != nil || !held {
		return err
	}
	delete(s.held, ends)
	delete(s.made, ends)
	return s.rights.release([]firewall.Connection{ends})
}

func (s *keeperServer) releaseAll() {
	var all []firewall.Connection
	for ends := range s.held {
		all = append(all, ends)
	}
	for ends := range s.made {
		all = append(all, ends)
	}
	if len(all) > 0 {
		_ = s.rights.release(all)
	}
}

package fd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/firewall"
)

// outsideRights is what takes CAP_NET_ADMIN and CAP_NET_RAW for connections to processes outside of the group. crak does it itself, or
// asks the keeper (tcp_keeper.go).
type outsideRights interface {
	// have tells whether the kernel lets this process, or the keeper, put back a connection.
	have() bool
	// look reads the state of a connection. From then on its packets are dropped, until release, or for pauseMost.
	look(socket int, ends firewall.Connection) (*TCPOutside, []byte, error)
	// leave drops the packets of a connection that look has read until a restart of the image has succeeded, or until release.
	leave(socket int, ends firewall.Connection, image string) error
	// hold drops the packets of a connection of an image of another machine until a restart has succeeded, or until release.
	hold(ends firewall.Connection, image string) error
	// release lets the packets through again.
	release(all []firewall.Connection) error
	// check tells why putBack would not put back this connection.
	check(ends firewall.Connection) error
	// putBack makes the connection anew. Its packets are dropped until resume or release.
	putBack(r *TCPSocket, content []byte, e *Env) (*os.File, error)
	// resume lets the packets of a new connection through, and asks the peer for an acknowledgment.
	resume(r *TCPSocket) error
}

// privileged is how this process does that.
var privileged outsideRights = ownRights{}

// ownRights are the rights of this process.
type ownRights struct{}

func (ownRights) have() bool {
	f, err := newTCP(unix.AF_INET)
	if err != nil {
		return false
	}
	defer f.Close()
	raw, err := rawSocket(unix.AF_INET)
	if err != nil {
		return false
	}
	unix.Close(raw)
	return repair(int(f.Fd()), repairOn) == nil
}

func (ownRights) look(socket int, ends firewall.Connection) (*TCPOutside, []byte, error) {
	if err := hold(ends, pauseMost, ""); err != nil {
		return nil, nil, fmt.Errorf("crak cannot drop its packets during the checkpoint: %w", err)
	}
	return readOutside(socket)
}

func (ownRights) leave(_ int, ends firewall.Connection, image string) error {
	return hold(ends, 0, image)
}

func (ownRights) hold(ends firewall.Connection, image string) error { return hold(ends, 0, image) }

func (ownRights) release(all []firewall.Connection) error { return firewall.Release(all) }

func (o ownRights) check(firewall.Connection) error {
	if !o.have() {
		return errPrivilege
	}
	return nil
}

func (o ownRights) putBack(r *TCPSocket, content []byte, e *Env) (*os.File, error) {
	if err := o.check(r.ends()); err != nil {
		return nil, err
	}
	if err := hold(r.ends(), 0, ""); err != nil {
		return nil, err
	}
	return r.putBack(content, e)
}

func (ownRights) resume(r *TCPSocket) error {
	return errors.Join(firewall.Release([]firewall.Connection{r.ends()}), r.probe())
}

func hold(ends firewall.Connection, limit time.Duration, image string) error {
	return firewall.Hold([]firewall.Connection{ends}, limit, uint32(os.Geteuid()), image)
}

// readOutside reads the state of a connection, in repair mode.
func readOutside(socket int) (s *TCPOutside, content []byte, err error) {
	if err := refuseUrgent(socket); err != nil {
		return nil, nil, err
	}
	reuse, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR)
	if err != nil {
		return nil, nil, os.NewSyscallError("SO_REUSEADDR", err)
	}
	if err := repair(socket, repairOn); err != nil {
		return nil, nil, err
	}
	s = new(TCPOutside)
	content, err = s.read(socket)
	return s, content, errors.Join(err, endRepair(socket, reuse))
}

package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// A unixSocket is what the kernel tells about a socket of the family AF_UNIX (sock_diag(7), unix_diag.h).
type unixSocket struct {
	kind      uint8    // SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET
	listening bool     // listen(2)
	name      string   // sun_path; it begins with a zero byte if it is abstract; "" if there is none
	file      uint32   // inode of the file that bind(2) made; 0: none
	peered    bool     // it has a peer
	peer      uint32   // inode of the peer; 0: the peer is closed, or is a connection that waits for accept(2)
	waiting   []uint32 // listening: inodes of the sockets whose connections wait for accept(2), first come first
	backlog   uint32   // listening: of listen(2)
	unread    uint32   // not listening: bytes in the receive queue
	unsent    uint32   // not listening: memory of what it has sent and the peer has not read yet
	shutdown  uint8    // 1: no more receiving, 2: no more sending

	reading unixReading // not of sock_diag: what the socket itself has told
	queue   queue       // what MSG_PEEK has shown
}

// isOfCrak tells whether this is the socket of a crak, such as crak ps, to which a resident has connected.
func (s *unixSocket) isOfCrak() bool {
	return s != nil && strings.HasPrefix(s.name, "\x00"+abi.SocketPrefix)
}

// Numbers of linux/unix_diag.h and linux/sock_diag.h.
const (
	sockDiagByFamily = 20

	unixShowName, unixShowFile, unixShowPeer, unixShowWaiting, unixShowQueue = 1, 2, 4, 8, 16

	unixName, unixFile, unixPeer, unixWaiting, unixQueue, unixShutdown = 0, 1, 2, 3, 4, 6

	stateListen = 10 // TCP_LISTEN
)

// unixSockets are the Unix sockets of the writer's network namespace, by inode. Any user may ask for them.
//
// The kernel lists them in many steps. If other programs close sockets meanwhile, it may leave out a socket. So a socket that is not in the
// list is asked for by its inode.
type unixSockets struct {
	all  map[uint32]*unixSocket
	conn *netlink.Conn
}

// dialUnix lists no socket yet. The caller closes the result.
func dialUnix() (*unixSockets, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	return &unixSockets{make(map[uint32]*unixSocket), conn}, nil
}

// listUnix lists all sockets. The caller closes the result.
func listUnix() (*unixSockets, error) {
	u, err := dialUnix()
	if err != nil {
		return nil, err
	}
	if err := u.ask(netlink.Request|netlink.Dump, 0, 0); err != nil {
		u.close()
		return nil, err
	}
	return u, nil
}

func (u *unixSockets) close() {
	if u != nil {
		u.conn.Close()
	}
}

// of returns the socket with an inode. It is nil if there is none in the writer's network namespace.
func (u *unixSockets) of(inode uint32) (*unixSocket, error) {
	if s, known := u.all[inode]; known || inode == 0 {
		return s, nil
	}
	u.all[inode] = nil
	const anyCookie = ^uint32(0) // INET_DIAG_NOCOOKIE
	if err := u.ask(netlink.Request, inode, anyCookie); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	return u.all[inode], nil
}

// ask sends a struct unix_diag_req, and adds the sockets of the answer.
func (u *unixSockets) ask(flags netlink.HeaderFlags, inode, cookie uint32) error {
	request := make([]byte, 24)
	request[0] = unix.AF_UNIX
	n := binary.NativeEndian
	n.PutUint32(request[4:], ^uint32(0)) // sockets in every state
	n.PutUint32(request[8:], inode)
	n.PutUint32(request[12:], unixShowName|unixShowFile|unixShowPeer|unixShowWaiting|unixShowQueue)
	n.PutUint32(request[16:], cookie)
	n.PutUint32(request[20:], cookie)
	answers, err := u.conn.Execute(netlink.Message{Header: netlink.Header{Type: sockDiagByFamily, Flags: flags}, Data: request})
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	for _, m := range answers {
		if len(m.Data) < 16 { // struct unix_diag_msg
			return errors.New("sock_diag: a short answer")
		}
		s := &unixSocket{kind: m.Data[1], listening: m.Data[2] == stateListen}
		if err := s.attributes(m.Data[16:]); err != nil {
			return fmt.Errorf("sock_diag: %w", err)
		}
		if inode := n.Uint32(m.Data[4:]); inode != 0 {
			u.all[inode] = s
		}
	}
	return nil
}

func (s *unixSocket) attributes(data []byte) error {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	for d.Next() {
		switch d.Type() {
		case unixName:
			s.name = string(d.Bytes())
		case unixFile:
			if b := d.Bytes(); len(b) >= 4 {
				s.file = binary.NativeEndian.Uint32(b)
			}
		case unixPeer:
			s.peered, s.peer = true, d.Uint32()
		case unixWaiting:
			for b := d.Bytes(); len(b) >= 4; b = b[4:] {
				s.waiting = append(s.waiting, binary.NativeEndian.Uint32(b))
			}
		case unixQueue:
			if b := d.Bytes(); len(b) >= 8 {
				if s.listening {
					s.backlog = binary.NativeEndian.Uint32(b[4:])
				} else {
					s.unread, s.unsent = binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
				}
			}
		case unixShutdown:
			s.shutdown = d.Uint8()
		}
	}
	return d.Err()
}

package fd

import (
	"golang.org/x/sys/unix"
)

// findSockets asks the kernel about the sockets of the group, before any of them is captured. It returns the descriptions with those that
// are only in the queues of Unix sockets.
func (c *capture) findSockets(descriptions []*open) ([]*open, error) {
	descriptions, err := c.findUnix(descriptions)
	if err != nil {
		return nil, err
	}
	return descriptions, c.findTCP(descriptions)
}

// findProtocol finds the protocol of a description, if it is a socket.
func (o *open) findProtocol() {
	if o.protocol == "" && o.format() == unix.S_IFSOCK && o.flags&unix.O_PATH == 0 && o.override == "" && !o.hasPath() {
		o.protocol = protocolOf(o.path())
	}
}

// protocolOf is the kernel's name of a socket's protocol: "UNIX", "UNIX-STREAM", "TCP", "UDPv6", "NETLINK", "PACKET". Every socket has
// this name as an extended attribute (net/socket.c, sockfs_xattr_get). The result is "" if the socket has been closed meanwhile.
func protocolOf(path string) string {
	return protocolBy(func(name []byte) (int, error) { return unix.Getxattr(path, protocolName, name) })
}

// protocolThrough is protocolOf through a descriptor. It does not look up a path.
func protocolThrough(socket int) string {
	return protocolBy(func(name []byte) (int, error) { return unix.Fgetxattr(socket, protocolName, name) })
}

const protocolName = "system.sockprotoname"

func protocolBy(ask func(name []byte) (int, error)) string {
	var name [32]byte
	n, err := ask(name[:])
	if err != nil || n < 2 {
		return ""
	}
	return string(name[:n-1])
}

// socketName names a socket to a user: "UNIX-STREAM socket", "TCP socket".
func socketName(o *open) string {
	if o.protocol == "" {
		return "socket"
	}
	return o.protocol + " socket"
}

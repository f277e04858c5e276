package fd

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func (r *PacketSocket) make(env *Env) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, r.Type|unix.SOCK_CLOEXEC, 0) // receives nothing until bind
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	if err := r.set(fd, env); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (r *PacketSocket) set(socket int, env *Env) error {
	if err := setOptions(socket, r.Options, env, socketOptions, packetOptions); err != nil {
		return err
	}
	if r.CopyMost != 0 {
		if err := unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_COPY_THRESH, int(r.CopyMost)); err != nil {
			return os.NewSyscallError("PACKET_COPY_THRESH", err)
		}
	}
	if err := r.Filter.attachLast(socket, r.FilterLocked); err != nil {
		return err
	}
	index, err := packetInterface(r.Interface)
	if err != nil {
		return err
	}
	if r.Protocol != 0 || index != 0 {
		var a sockaddr // struct sockaddr_ll
		binary.NativeEndian.PutUint16(a.bytes[:], unix.AF_PACKET)
		binary.BigEndian.PutUint16(a.bytes[2:], r.Protocol)
		binary.NativeEndian.PutUint32(a.bytes[4:], uint32(index))
		a.length = unix.SizeofSockaddrLinklayer
		if err := a.bind(socket); err != nil {
			return fmt.Errorf("bind to network interface %q: %w", r.Interface, err)
		}
	}
	for _, g := range r.Groups {
		if err := g.join(socket); err != nil {
			return fmt.Errorf("group of network interface %q: %w", g.Interface, err)
		}
	}
	return nil
}

func packetInterface(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	return interfaceIndex(name)
}

func (g *PacketGroup) join(socket int) error {
	address, err := hex.DecodeString(g.Address)
	if err != nil {
		return err
	}
	index, err := packetInterface(g.Interface)
	if err != nil {
		return err
	}
	request := make([]byte, 8+max(len(address), 8)) // struct packet_mreq, or packet_mreq_max
	binary.NativeEndian.PutUint32(request, uint32(index))
	binary.NativeEndian.PutUint16(request[4:], g.Type)
	binary.NativeEndian.PutUint16(request[6:], uint16(len(address)))
	copy(request[8:], address)
	for range g.Count {
		if err := setBytes(socket, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, request); err != nil {
			return os.NewSyscallError("PACKET_ADD_MEMBERSHIP", err)
		}
	}
	return nil
}

package fd

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// diagnose asks sock_diag(7) about the state that getsockopt(2) does not show. Any user may ask.
func (r *PacketSocket) diagnose(inode uint32) error {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer c.Close()
	request := make([]byte, 20) // struct packet_diag_req
	request[0] = unix.AF_PACKET
	binary.NativeEndian.PutUint32(request[8:], packetShowAll)
	answers, err := c.Execute(netlink.Message{Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump}, Data: request})
	if err != nil {
		return fmt.Errorf("sock_diag: packet sockets: %w", err)
	}
	for _, m := range answers {
		if len(m.Data) >= 16 && binary.NativeEndian.Uint32(m.Data[4:]) == inode { // struct packet_diag_msg
			return r.attributes(m.Data[16:])
		}
	}
	return errors.New("sock_diag does not list it: it is of another network namespace")
}

func (r *PacketSocket) attributes(data []byte) error {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	for d.Next() {
		b := d.Bytes()
		switch d.Type() {
		case packetInfo:
			if len(b) >= 16 {
				r.CopyMost = binary.NativeEndian.Uint32(b[12:])
			}
		case packetGroups:
			for ; len(b) >= packetGroupSize; b = b[packetGroupSize:] {
				length := min(binary.NativeEndian.Uint16(b[10:]), 32)
				r.Groups = append(r.Groups, PacketGroup{
					Interface: interfaceName(binary.NativeEndian.Uint32(b)),
					Count:     binary.NativeEndian.Uint32(b[4:]),
					Type:      binary.NativeEndian.Uint16(b[8:]),
					Address:   hex.EncodeToString(b[12 : 12+length]),
				})
			}
		case packetReceiveRing:
			return errors.New("it has a ring of packets in memory (PACKET_RX_RING)")
		case packetSendRing:
			return errors.New("it has a ring of packets in memory (PACKET_TX_RING)")
		case packetFanout:
			return errors.New("it shares packets with other sockets (PACKET_FANOUT)")
		}
	}
	return d.Err()
}

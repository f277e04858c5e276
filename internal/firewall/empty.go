package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// removeTries is how often removeEmpty tries again because another program has changed the rules meanwhile.
const removeTries = 20

// removeEmpty removes the table if it has no connection. If other programs change the rules all the time, removeEmpty leaves the table,
// which then drops nothing.
func removeEmpty() error {
	for range removeTries {
		before, err := generation()
		if err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
		if !isEmpty() {
			return nil
		}
		switch err := removeTable(before); {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.ERESTART):
			return fmt.Errorf("nftables: %w", err)
		}
	}
	return nil
}

// isEmpty tells whether there is a table, and no connection is held.
func isEmpty() bool {
	c, err := nftables.New()
	for i := range families {
		set, setErr := families[i].newSet(table())
		if err != nil || setErr != nil {
			return false
		}
		held, err := c.GetSetElements(set)
		if err != nil || len(held) > 0 { // there is no table, or a connection is held
			return false
		}
	}
	return true
}

// generation returns the number of the rules' generation in this network namespace. Each transaction of any program changes it.
func generation() (uint32, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	answers, err := c.Execute(message(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0, 0, 0))
	if err != nil {
		return 0, err
	}
	for _, answer := range answers {
		if len(answer.Data) < headerSize {
			continue
		}
		attributes, err := netlink.UnmarshalAttributes(answer.Data[headerSize:])
		if err != nil {
			return 0, err
		}
		for _, a := range attributes {
			if a.Type == unix.NFTA_GEN_ID && len(a.Data) == 4 {
				return binary.BigEndian.Uint32(a.Data), nil
			}
		}
	}
	return 0, errors.New("the kernel does not tell the generation of the rules")
}

// removeTable removes the table with all that is in it. It fails with ERESTART if this is not the generation of the rules any more: another
// crak may have added a connection since (NFNL_BATCH_GENID, since Linux 4.12). The package nftables cannot send this attribute.
func removeTable(generation uint32) error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	t := table()
	_, err = c.SendMessages([]netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES,
			netlink.Attribute{Type: unix.NFNL_BATCH_GENID, Data: binary.BigEndian.AppendUint32(nil, generation)}),
		message(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE, netlink.Acknowledge, byte(t.Family), 0,
			netlink.Attribute{Type: unix.NFTA_TABLE_NAME, Data: []byte(t.Name + "\x00")}),
		message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES),
	})
	if err == nil {
		_, err = c.Receive() // the acknowledgement of NFT_MSG_DELTABLE, or the error of the transaction
	}
	return err
}

const headerSize = 4 // struct nfgenmsg (linux/netfilter/nfnetlink.h)

// message is a message of nfnetlink: a struct nfgenmsg and attributes.
func message(kind int, flags netlink.HeaderFlags, family byte, subsystem uint16, attributes ...netlink.Attribute) netlink.Message {
	data := binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, subsystem)
	encoded, err := netlink.MarshalAttributes(attributes)
	if err != nil { // only if an attribute is longer than 64 KiB
		panic(err)
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | flags},
		Data:   append(data, encoded...),
	}
}

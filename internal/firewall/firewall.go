// Package firewall drops the packets of chosen TCP connections, in both directions. While no program has the socket of a connection,
// this machine must not answer the peer: the kernel would reset a connection that it does not know.
//
// The package makes a table of nftables with the name crak. The table has two sets of connections, one for IPv4 and one for IPv6. Its
// rules drop the packets of the connections in these sets. The caller needs CAP_NET_ADMIN in the network namespace.
package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/printable"
)

// Mark is the mark of the packets that are not dropped on their way in: those of crak itself (SO_MARK, socket(7)).
const Mark = 0x6b617263

// A Connection is a TCP connection of this machine, by its two addresses.
type Connection struct{ Own, Peer netip.AddrPort }

// String is for messages.
func (c Connection) String() string { return fmt.Sprintf("%s - %s", c.Own, c.Peer) }

// A family is IPv4 or IPv6. source and target are the offsets of the addresses in the IP header. A rule loads the peer's address into
// the first register (linux/netfilter/nf_tables.h), and the peer's port, the own address and the own port into the registers ports,
// own and end.
type family struct {
	set             string
	number          byte
	address         nftables.SetDatatype
	size            uint32
	source, target  uint32
	ports, own, end uint32
}

const firstRegister = 8 // NFT_REG32_00

var families = [2]family{
	{"connections4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 4, 12, 16, firstRegister + 1, firstRegister + 2, firstRegister + 3},
	{"connections6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 16, 8, 24, firstRegister + 4, firstRegister + 5, firstRegister + 9},
}

// Hold drops the packets of connections from now on: until the limit is over, or until Release if the limit is 0. If a connection is
// held already, Hold replaces its limit and its user, and no packet comes through meanwhile. user is the user to whom the program of
// these connections belongs: see HeldFor. image is the path of the image that a restart needs, or "".
func Hold(all []Connection, limit time.Duration, user uint32, image string) error {
	for _, c := range all {
		element := nftables.SetElement{Key: c.key(), Timeout: limit, Comment: comment(user, image)}
		err := change(c, element, removed|added) // the kernel does not change the time of a connection that is in the set
		if errors.Is(err, unix.ENOENT) {
			err = change(c, element, added)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Release lets the packets of connections through again. It is no error if a connection is not held. If no connection is held any
// more, Release removes the table.
func Release(all []Connection) error {
	var errs []error
	for _, c := range all {
		if err := change(c, nftables.SetElement{Key: c.key()}, removed); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, removeEmpty())...)
}

// HeldFor tells whether a connection is held for this user. Only a process with CAP_NET_ADMIN can have held it.
func HeldFor(one Connection, user uint32) (bool, error) {
	comment, held, err := find(one)
	return held && isOf(comment, user), err
}

// HeldForOther tells whether a connection is held for another user.
func HeldForOther(one Connection, user uint32) (bool, error) {
	comment, held, err := find(one)
	return held && !isOf(comment, user), err
}

// find returns the comment of a connection, if it is held.
func find(one Connection) (comment string, held bool, err error) {
	c, err := nftables.New()
	if err != nil {
		return "", false, err
	}
	t := table()
	tables, err := c.ListTablesOfFamily(t.Family)
	if err != nil {
		return "", false, fmt.Errorf("nftables: %w", err)
	}
	if !slices.ContainsFunc(tables, func(there *nftables.Table) bool { return there.Name == t.Name }) {
		return "", false, nil
	}
	set, err := one.family().newSet(t)
	if err != nil {
		return "", false, err
	}
	all, err := c.GetSetElements(set)
	if err != nil {
		return "", false, fmt.Errorf("nftables: %w", err)
	}
	at := slices.IndexFunc(all, func(e nftables.SetElement) bool { return bytes.Equal(e.Key, one.key()) })
	if at < 0 {
		return "", false, nil
	}
	return all[at].Comment, true, nil
}

// commentMost is how long a comment may be: nft(8) shows up to 128 bytes.
const commentMost = 127

// comment is what nft(8) shows of a connection in its set. Of a long path it has the end. The path may come from the user: it is behind the
// user's number, and has no character that is not printable.
func comment(user uint32, image string) string {
	text := fmt.Sprint("user ", user)
	if image == "" {
		return text
	}
	text += betweenUserAndImage
	image = printable.Text(image)
	return text + image[max(0, len(image)-(commentMost-len(text))):]
}

const betweenUserAndImage = ", image "

func isOf(comment string, user uint32) bool {
	text := fmt.Sprint("user ", user)
	return comment == text || strings.HasPrefix(comment, text+betweenUserAndImage)
}

func table() *nftables.Table { return &nftables.Table{Name: "crak", Family: nftables.TableFamilyINet} }

func (f *family) newSet(t *nftables.Table) (*nftables.Set, error) {
	key, err := nftables.ConcatSetType(f.address, nftables.TypeInetService, f.address, nftables.TypeInetService)
	return &nftables.Set{Table: t, Name: f.set, KeyType: key, Concatenation: true, HasTimeout: true}, err
}

// What change does with a connection.
const (
	removed = 1 << iota
	added
)

// change takes a connection out of its set, or adds it, or both in one step.
func change(one Connection, element nftables.SetElement, what int) error {
	c, err := nftables.New()
	t := table()
	if err == nil && what&added != 0 {
		err = prepare(c, t)
	}
	set, setErr := one.family().newSet(t)
	err = errors.Join(err, setErr)
	if err == nil && what&removed != 0 {
		err = c.SetDeleteElements(set, []nftables.SetElement{{Key: element.Key}})
	}
	if err == nil && what&added != 0 {
		err = c.SetAddElements(set, []nftables.SetElement{element})
	}
	if err == nil {
		err = c.Flush()
	}
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

func (c Connection) family() *family {
	if c.Own.Addr().Unmap().Is4() {
		return &families[0]
	}
	return &families[1]
}

// key is the key of a connection in its set. It has the parts in the order of the registers, each padded to words of 4 bytes.
func (c Connection) key() (key []byte) {
	for _, at := range []netip.AddrPort{c.Peer, c.Own} {
		key = append(key, at.Addr().Unmap().WithZone("").AsSlice()...)
		key = append(binary.BigEndian.AppendUint16(key, at.Port()), 0, 0)
	}
	return key
}

// prepare adds to a transaction what makes the table, if there is none. It always replaces the rules: another version of crak may have
// made the table with other ones. The connections in the sets stay.
func prepare(c *nftables.Conn, t *nftables.Table) error {
	c.AddTable(t)
	chains := []*nftables.Chain{
		{Name: "input", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRaw},
		{Name: "output", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw},
	}
	for _, chain := range chains {
		c.AddChain(chain)
		c.FlushChain(chain)
	}
	for i := range families {
		f := &families[i]
		set, err := f.newSet(t)
		if err == nil {
			err = c.AddSet(set, nil)
		}
		if err != nil {
			return err
		}
		c.AddRule(f.rule(chains[0], set, f.source, 0, f.target, 2))
		c.AddRule(f.rule(chains[1], set, f.target, 2, f.source, 0))
	}
	return nil
}

// rule drops the TCP packets of the connections in a set. peer and own are the offsets of the addresses in the IP header, peerPort
// and ownPort those of the ports in the TCP header.
func (f *family) rule(chain *nftables.Chain, set *nftables.Set, peer, peerPort, own, ownPort uint32) *nftables.Rule {
	load := func(base expr.PayloadBase, register, offset, length uint32) expr.Any {
		return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: register, Base: base, Offset: offset, Len: length}
	}
	return &nftables.Rule{Table: chain.Table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: firstRegister},
		&expr.Cmp{Op: expr.CmpOpEq, Register: firstRegister, Data: []byte{f.number}},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: firstRegister},
		&expr.Cmp{Op: expr.CmpOpEq, Register: firstRegister, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: firstRegister},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: firstRegister, Data: binary.NativeEndian.AppendUint32(nil, Mark)},
		load(expr.PayloadBaseNetworkHeader, firstRegister, peer, f.size),
		load(expr.PayloadBaseTransportHeader, f.ports, peerPort, 2),
		load(expr.PayloadBaseNetworkHeader, f.own, own, f.size),
		load(expr.PayloadBaseTransportHeader, f.end, ownPort, 2),
		&expr.Lookup{SourceRegister: firstRegister, SetName: set.Name, SetID: set.ID},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}}
}

package image

import "net/netip"

// NetworkSettings are the addresses and routes in a network namespace of the group's own. What the kernel makes by itself is not among them.
type NetworkSettings struct {
	Addresses []NetworkAddress `json:"addresses,omitempty"`
	Routes    []NetworkRoute   `json:"routes,omitempty"`
}

// NetworkAddress is an address of an interface.
type NetworkAddress struct {
	Interface string       `json:"interface"`
	Address   netip.Prefix `json:"address"`
	Peer      netip.Addr   `json:"peer,omitzero"` // of a point-to-point address
	Scope     uint8        `json:"scope,omitempty"`
}

// NetworkRoute is a unicast route in the main table.
type NetworkRoute struct {
	To        netip.Prefix `json:"to"`
	Interface string       `json:"interface"`
	Gateway   netip.Addr   `json:"gateway,omitzero"`
	Source    netip.Addr   `json:"source,omitzero"` // the preferred source address
	Priority  uint32       `json:"priority,omitempty"`
	Protocol  uint8        `json:"protocol,omitempty"`
	Scope     uint8        `json:"scope,omitempty"`
	OnLink    bool         `json:"on_link,omitempty"`
}

package fd

import (
	"cmp"

	"crak.dev/crak/image"
)

// Changes are what the user changes in an image, in memory, before a restart on another machine or in another place.
type Changes struct {
	Paths     Relocations    `json:"paths,omitempty"`     // of files, directories and sockets that have moved
	Addresses AddressChanges `json:"addresses,omitempty"` // of sockets
	Instead   Overrides      `json:"instead,omitempty"`   // what the members get in place of some descriptors
}

// Apply makes the changes.
func (c *Changes) Apply(g *image.Group) error {
	return cmp.Or(c.Paths.Apply(g), c.Addresses.Apply(g), c.Instead.Apply(g))
}

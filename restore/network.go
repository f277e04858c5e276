package restore

import (
	"crak.dev/crak/image"
	"crak.dev/crak/internal/network"
)

// enterPrivate moves crak into a new network namespace, if the group had one of its own (crak run --net=private): everything else happens
// there. An ordinary user's crak cannot do so. Then entered is false, and the other crak does it in a new user namespace.
func enterPrivate(g *image.Group) (entered bool, err error) {
	if !g.PrivateNetwork || needsUserNamespace() {
		return false, nil
	}
	return true, network.MakePrivate()
}

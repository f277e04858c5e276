package restore

import (
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/network"
	"crak.dev/crak/internal/obstacle"
)

// enterPrivate moves crak into a new network namespace, if the group had one of its own (crak run --net=private): everything else happens
// there. An ordinary user's crak cannot do so. Then entered is false, and the other crak does it in a new user namespace. If there was a
// link to another namespace, the new one has such a link to crak's. path is that of the image.
func enterPrivate(g *image.Group, path string) (entered bool, err error) {
	if !g.PrivateNetwork {
		return false, nil
	}
	var link *network.Link
	if g.PrivateLink != "" {
		if link, err = network.ParseLink(g.PrivateLink); err != nil {
			return false, err
		}
	}
	switch user := needsUserNamespace(); {
	case user && link != nil:
		return false, obstacle.Obstacle{What: "link " + link.String() + " of its network namespace", Why: "to make one takes CAP_NET_ADMIN", Do: "restart it as root"}
	case user:
		return false, nil
	}
	// As soon as there is a link, peers of the group's connections may send. The kernel would reset connections that do not exist yet.
	err = network.MakePrivate(link, func() error {
		_, err := fd.Hold(g, path)
		return err
	})
	if err == nil && g.PrivateSettings != nil {
		err = network.Set(g.PrivateSettings)
	}
	return true, err
}

// leavePrivate removes the link after a failed restart, so that no packet of a peer arrives while the namespace ends.
func leavePrivate(g *image.Group, failed error) {
	if failed != nil && g.PrivateLink != "" {
		_ = network.RemoveLink()
	}
}

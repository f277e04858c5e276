package fd

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// nestedMost is how deep epoll instances can be nested (epoll_ctl(2), ELOOP).
const nestedMost = 5

// Inside finds the descriptions that only the group can make ready, in the sense of poll(2). During a restart no program of the group
// runs, so they do not become ready then. Time, signals and everybody outside of the group can make the others ready at any moment. If
// it is not clear, a description is one of the others.
func Inside(g *image.Group) map[image.DescriptionID]bool {
	objects := make(map[image.ObjectID]bool)
	for _, o := range g.Objects {
		objects[o.ID] = insideObject(o)
	}
	inside := make(map[image.DescriptionID]bool)
	var instances []image.Description
	for _, d := range g.Descriptions {
		switch d.Kind {
		case pipeEnd.name, unixSocketKind.name, tcpSocketKind.name:
			inside[d.ID] = objects[d.Object]
		case eventfd.name, pidfd.name:
			inside[d.ID] = true
		case epoll.name:
			instances = append(instances, d)
		}
	}
	for range nestedMost { // an instance is ready if a target is
		for _, d := range instances {
			r, err := epollRecord(d)
			inside[d.ID] = err == nil
			for _, t := range r.Targets {
				inside[d.ID] = inside[d.ID] && inside[t.Description]
			}
		}
	}
	return inside
}

func insideObject(o image.Object) bool {
	switch o.Kind {
	case pipeObjects.name:
		r, err := pipeRecord(o)
		return err == nil && (r.File == nil || r.File.Deleted)
	case unixObjects.name:
		r, err := unixRecord(o)
		return err == nil && !r.Listening && r.PeerName == nil && (r.Name == nil || r.Type != unix.SOCK_DGRAM)
	case tcpObjects.name:
		r, err := tcpRecord(o)
		return err == nil && (r.Peer != 0 || r.Closed || r.Over)
	}
	return false
}

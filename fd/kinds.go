package fd

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// kind is one kind of open file description. Its name is Description.Kind.
type kind struct {
	name      string
	seeks     bool // it has an offset that lseek sets
	later     bool // capture has no handle: it has the description read later (reading.go)
	inherited bool // a restart may take crak restart's own description, and then changes none of its flags but O_NONBLOCK

	// is tells whether a description is of this kind. The first kind in the table that matches is used.
	is func(o *open) bool

	// capture returns the record, a pointer. It is encoded later, when the initiator has answered the questions of
	// capture. An obstacle.Obstacle as error refuses the description.
	capture func(c *capture, o *open) (record any, err error)

	// describe tells a user what a description is open on. Nil: the name of the kind says everything.
	describe func(d image.Description) string

	// check finds obstacles of create, and makes nothing. Nil: there are none.
	check func(d image.Description, env *Env) obstacle.List

	// create makes a new description like d, with its access mode, at offset 0. The caller sets the offset, locks
	// and other flags.
	create func(d image.Description, env *Env) (*os.File, error)

	// connect joins the description with others (env.description). All descriptions of the group exist. Nil: nothing to do.
	connect func(d image.Description, env *Env) error

	// fill puts content in. All descriptions are connected, and what this one refers to is filled. The content of its object
	// is in. Nil: nothing to do.
	fill func(d image.Description, env *Env) error

	// attach appends what only a member can do to its program. What the description refers to is attached. Nil: nothing to do.
	attach func(d image.Description, a *Attach) error

	// asks returns the process that asks, in a call of Attach.AtGo, for what another process may cause as soon as it runs. So nobody runs
	// before. It is 0 if no process asks. Nil: never.
	asks func(d image.Description) image.Pid

	// byMember tells whether only a member can make the description: create returns a placeholder, and attach of one member
	// replaces it (handover.go).
	// Nil: crak restart makes it.
	byMember func(d image.Description) bool

	// refers returns what the description refers to. An error in the record is that of create. Nil: nothing.
	refers func(d image.Description) References

	// forget removes references to descriptions that the user has left out of a restart (gone), as the kernel does when the last
	// descriptor is closed. Nil: a description that this one refers to is restored although it has no descriptor.
	forget func(d *image.Description, gone func(image.DescriptionID) bool) error

	// paths finds the paths in the record that crak restart --path can change. Nil: there are none.
	paths pathsOf
}

// kinds is every kind. The more special kinds come before the more general ones. init fills it, because the kinds refer to it.
var kinds []*kind

func init() {
	kinds = []*kind{&memfd, &messageQueue, &pathOnly, &ptyMaster, &ptySlave, &terminal, &device, &pipeEnd, &pipe, &eventfd, &timerfd, &signalfd, &pidfd, &inotify, &epoll, &unixSocketKind, &tcpSocketKind, &inetSocketKind, &netlinkSocketKind, &packetSocketKind, &namespace, &special, &directory, &regular, &unsupported}
}

func kindOf(o *open) *kind {
	if o.flags&unix.O_PATH != 0 && !o.hasPath() && !namespace.is(o) {
		return &unsupported
	}
	for _, k := range kinds[:len(kinds)-1] {
		if k.is(o) {
			return k
		}
	}
	return kinds[len(kinds)-1]
}

func kindNamed(name string) (*kind, error) {
	for _, k := range kinds {
		if k.name == name && k.create != nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("kind %q is not known", name)
}

// record decodes the record of a description. An unknown field is an error, as everywhere in an image: it is state
// that would be lost.
func record[T any](d image.Description) (T, error) {
	r, err := decode[T](d.Record)
	if err != nil {
		return r, fmt.Errorf("description %d: record of a %s: %w", d.ID, d.Kind, err)
	}
	return r, nil
}

func decode[T any](text json.RawMessage) (T, error) {
	var r T
	err := image.DecodeRecord(text, &r)
	return r, err
}

package fd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// kind is one kind of open file description. Its name is Description.Kind.
type kind struct {
	name      string
	seeks     bool // has an offset that lseek sets
	inherited bool // may come back as crak restart's own description, which keeps its flags but for O_NONBLOCK

	// is tells whether a description is of this kind. The first kind of the table that says so has it.
	is func(o *open) bool

	// capture makes the record, a pointer, which is encoded after the leader has answered what capture asked.
	// An obstacle.Obstacle as error refuses the description.
	capture func(c *capture, g shared) (record any, err error)

	// describe names, for people, what a description is open on. Nil: its kind says it all.
	describe func(d image.Description) string

	// check finds what would keep create from working, and makes nothing. Nil: nothing can.
	check func(d image.Description, env *Env) obstacle.List

	// create makes a new description like d, at offset 0, with its access mode; the caller sees to
	// offset, locks and the other flags.
	create func(d image.Description, env *Env) (*os.File, error)
}

// kinds is every kind, the more particular before the more general.
var kinds = []*kind{&memfd, &pathOnly, &terminal, &device, &pipeEnd, &pipe, &special, &directory, &regular, &unsupported}

func kindOf(o *open) *kind {
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

// record decodes the record of a description. A field that is not known is an error, as anywhere in an image: it is state
// that would be lost.
func record[T any](d image.Description) (T, error) {
	var r T
	decoder := json.NewDecoder(bytes.NewReader(d.Record))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return r, fmt.Errorf("description %d: record of a %s: %w", d.ID, d.Kind, err)
	}
	image.RestoreText(d.Record, &r)
	return r, nil
}

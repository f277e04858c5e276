package fd

import (
	"encoding/json"
	"fmt"

	"crak.dev/crak/image"
)

// objectKind is one kind of kernel object: what several descriptions are ends or views of. Its name is Object.Kind.
type objectKind struct {
	name string

	// check decodes the record of an object, and checks it: each number has a bound, and they go with the size of the content.
	check func(o image.Object) error

	// make makes the object, without its content.
	make func(o image.Object, env *Env) (madeObject, error)

	// refers returns what the object refers to, for example descriptions that are in its queue. Nil: nothing.
	refers func(o image.Object) References

	// paths is as in kind.
	paths pathsOf

	// addresses replaces the IP addresses in a record. Nil: there are none.
	addresses func(record *json.RawMessage, to AddressChanges) error

	// end returns what a socket of TCP or UDP is open on, for patterns of --fd. Nil: it is no such socket.
	end func(o image.Object) inetEnd

	// describe tells a user what a checked object is. Nil: its kind says everything.
	describe func(o image.Object) string
}

// DescribeObject tells a user what an object of an image is: "127.0.0.1:40000 - 127.0.0.1:80". It is "" if its kind says everything.
func DescribeObject(o image.Object) string {
	k, err := objectKindNamed(o.Kind)
	if err != nil || k.describe == nil || k.check(o) != nil {
		return ""
	}
	return k.describe(o)
}

// A madeObject is an object that a restart has made. It holds the object until all descriptions are made: a pipe loses its
// content when its last end is closed.
type madeObject interface {
	fill(o image.Object, env *Env) error // puts the content in
	close()
}

// objectKinds is every kind of object. A function returns it, because the kinds refer to it.
func objectKinds() []*objectKind {
	return []*objectKind{&pipeObjects, &queueObjects, &unixObjects, &tcpObjects, &inetObjects, &ptyObjects, &fileCopies}
}

func objectKindNamed(name string) (*objectKind, error) {
	for _, k := range objectKinds() {
		if k.name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("kind %.40q is not known", name)
}

// known returns an object of the image. The record has been checked.
func (e *Env) known(id image.ObjectID, k *objectKind) (image.Object, error) {
	o, ok := e.objects[id]
	if !ok || o.Kind != k.name {
		return o, fmt.Errorf("object %d, kind %.40q: not known as a %s", id, o.Kind, k.name)
	}
	if err := k.check(o); err != nil {
		return o, fmt.Errorf("object %d: %w", id, err)
	}
	return o, nil
}

// object returns the object behind a description. The first description that needs the object has it made.
func object[T madeObject](id image.ObjectID, k *objectKind, e *Env) (T, error) {
	if made, ok := e.made[id]; ok {
		if of, ok := made.(T); ok {
			return of, nil
		}
	}
	var none T
	o, err := e.known(id, k)
	if err != nil {
		return none, err
	}
	made, err := k.make(o, e)
	if err != nil {
		return none, fmt.Errorf("%s %d: %w", k.name, id, err)
	}
	if e.made == nil {
		e.made = make(map[image.ObjectID]madeObject)
	}
	e.made[id] = made
	return made.(T), nil
}

// fillObject puts the content into an object, once.
func (e *Env) fillObject(id image.ObjectID) error {
	made := e.made[id]
	if made == nil || e.filled[id] {
		return nil
	}
	if e.filled == nil {
		e.filled = make(map[image.ObjectID]bool)
	}
	e.filled[id] = true
	o := e.objects[id]
	if late := e.lateIn(o); len(late) > 0 {
		e.deferred = append(e.deferred, deferredFill{o, late})
		return nil
	}
	if err := made.fill(o, e); err != nil {
		return fmt.Errorf("%s %d: %w", o.Kind, id, err)
	}
	return nil
}

// objectKey identifies an object on this machine.
type objectKey struct {
	kind  string
	inode Inode
}

// object returns the number of the object behind a description. If the object is new, look reads its record, a pointer, and its
// content. The record is encoded when the initiators have answered the questions of look.
func (c *capture) objectOf(o *open, k *objectKind, look func() (record any, content []byte, err error)) (image.ObjectID, error) {
	return c.objectWith(objectKey{k.name, o.inode()}, k, look)
}

// objectWith is objectOf for an object that has no inode of its own.
func (c *capture) objectWith(key objectKey, k *objectKind, look func() (record any, content []byte, err error)) (image.ObjectID, error) {
	if id, known := c.table.objects[key]; known {
		return id, nil
	}
	record, content, err := look()
	if err != nil {
		return 0, err
	}
	t := c.table
	if t.objects == nil {
		t.objects = make(map[objectKey]image.ObjectID)
	}
	id := image.ObjectID(len(t.Objects) + 1)
	t.Objects = append(t.Objects, image.Object{ID: id, Kind: k.name})
	t.objects[key] = id
	t.setContent(id, content)
	c.later = append(c.later, func() error {
		text, err := image.MarshalText(record)
		if err != nil {
			return fmt.Errorf("record of object %d: %w", id, err)
		}
		t.Objects[id-1].Record = text
		return nil
	})
	return id, nil
}

// setContent sets the content of an object.
func (t *Table) setContent(id image.ObjectID, content []byte) {
	if len(content) > 0 {
		t.Objects[id-1].Size = uint64(len(content))
		t.InFlight = append(t.InFlight, InFlight{id, content})
	}
}

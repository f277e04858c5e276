package image

import (
	"encoding/json"
	"errors"
	"fmt"
)

// An ObjectID numbers the kernel objects of a group, from 1; 0 is none.
type ObjectID int

// Object is a kernel object that is neither a file nor memory: a pipe. Open file descriptions refer to it: each is an end or a view
// of it. Its content, if any, is in the space ObjectSpace(ID). The file of package fd for this kind writes and reads Record.
type Object struct {
	ID     ObjectID        `json:"id"`
	Kind   string          `json:"kind"`
	Size   uint64          `json:"size,omitempty"` // of the content, in bytes
	Record json.RawMessage `json:"record,omitempty"`
}

func (c *checker) kernelObject(o *Object) error {
	switch {
	case o.ID <= 0 || c.objects[o.ID]:
		return fmt.Errorf("id: %d: not a new positive number", o.ID)
	case o.Kind == "":
		return errors.New("kind: empty")
	case o.Size >= maxObject:
		return fmt.Errorf("size: %d: too large", o.Size)
	}
	c.objects[o.ID] = true
	return nil
}

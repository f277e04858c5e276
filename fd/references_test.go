package fd_test

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"testing"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestOrderOfDeepQueues checks the order of sockets that are in one another's queues: of a chain that is too deep for recursion, and of a
// ring.
func TestOrderOfDeepQueues(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20))
	const depth = 50_000
	g := &image.Group{}
	for i := 1; i <= depth; i++ {
		inside := i%depth + 1 // the last one has the first one in its queue
		g.Descriptions = append(g.Descriptions, image.Description{ID: image.DescriptionID(i), Kind: "unix_socket", Object: image.ObjectID(i)})
		g.Objects = append(g.Objects, image.Object{ID: image.ObjectID(i), Kind: "unix_socket",
			Record: json.RawMessage(fmt.Sprintf(`{"type":2,"messages":[{"size":0,"descriptors":[%d]}]}`, inside))})
	}
	all := fd.Order(g)
	if len(all) != depth {
		t.Fatalf("%d descriptions, want %d", len(all), depth)
	}
	for i, d := range all {
		if want := image.DescriptionID(depth - i); d.ID != want {
			t.Fatalf("description %d at place %d, want %d", d.ID, i, want)
		}
	}
}

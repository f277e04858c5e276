package restore

import (
	"testing"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// aTree returns a group of a root and a child of it.
func aTree(t *testing.T) *image.Group {
	g := handmade.Group(aPid(t), me())
	child := handmade.Group(g.Root+1, me()).Processes[0]
	child.Parent = g.Root
	g.Processes = append(g.Processes, child)
	return g
}

func TestRunTree(t *testing.T) {
	for _, mode := range modes(t) {
		t.Run(string(mode), func(t *testing.T) {
			g := aTree(t)
			o := run(writeImage(t, g, says), mode)
			if o.err != nil {
				t.Fatal(o.err)
			}
			if !o.status.Exited() || o.status.ExitStatus() != 42 {
				t.Errorf("status %#x, want exit status 42", o.status)
			}
			noStray(t, g.Root)
		})
	}
}

package restore

import (
	"encoding/json"
	"testing"

	"crak.dev/crak/image"
)

// FuzzCompile: whatever group passes the image's own checks is compiled, or refused, and what is compiled
// encodes, and leaves the interpreter alone.
func FuzzCompile(f *testing.F) {
	for _, more := range []func(*image.Group){withMemory, withSignals, withThreads, withDeadLeader, withDescriptors} {
		g := fixedGroup()
		more(g)
		text, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text []byte, timerIDs bool) {
		var g image.Group
		if json.Unmarshal(text, &g) != nil || g.Check() != nil || len(g.Processes) != 1 {
			return
		}
		s := fixedTarget(&g)
		s.timerIDs = timerIDs
		c, err := compile(s, 3)
		if err != nil {
			return
		}
		in := interpreter{mappings: s.kernel}
		l := c.set.Measure(8000)
		area, err := in.findArea(l.Length, &g)
		if err != nil {
			return
		}
		l = l.Move(area)
		if err := c.set.Check(l); err != nil {
			return
		}
		c.set.Encode(l)
	})
}

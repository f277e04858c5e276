package compile

import (
	"encoding/json"
	"testing"

	"crak.dev/crak/image"
	"crak.dev/crak/image/imagetest"
	"crak.dev/crak/restore/handmade"
)

// FuzzCompile: a group that passes the image's checks is compiled or refused. Compiled programs can be encoded, and do not map
// over the interpreter.
func FuzzCompile(f *testing.F) {
	for _, more := range []func(*image.Group){withMemory, withSignals, withThreads, withDeadLeader, withDescriptors} {
		g := fixedGroup()
		more(g)
		text, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte{}, true)
		f.Add(text, []byte{40, 0, 6, 90, 0, 21}, false)
	}
	for _, lines := range handmade.Families {
		g, err := handmade.Family(412, owner, lines)
		if err != nil {
			f.Fatal(err)
		}
		text, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte{}, true)
	}
	f.Fuzz(func(t *testing.T, text, edits []byte, timerIDs bool) {
		var g image.Group
		if json.Unmarshal(imagetest.Mutate(text, edits), &g) != nil || g.Check() != nil || len(g.Processes) > 20 {
			return
		}
		target, all := fixed(&g)
		target.TimerIDs = timerIDs
		c, err := Programs(target, all)
		if err != nil {
			return
		}
		l := c.Set.Measure(8000)
		area, err := Room(l.Length, target.Kernel, &g)
		if err != nil {
			return
		}
		l = l.Move(area)
		if err := c.Set.Check(l); err != nil {
			return
		}
		c.Set.Encode(l)
	})
}

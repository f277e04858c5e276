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
	for _, more := range []func(*image.Group){withMemory, withSignals, withThreads, withDeadLeader, withDescriptors, withObjects} {
		g := fixedGroup()
		more(g)
		if _, err := Programs(fixed(g)); err != nil {
			f.Fatal(err)
		}
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

// withObjects adds zombies, and a description of each kind that a member attaches or that refers to others.
func withObjects(g *image.Group) {
	pid := g.Root
	g.Zombies = []image.Zombie{{Pid: pid + 100, Parent: pid, ExitSignal: 17, Status: 3 << 8}, {Pid: pid + 101, Parent: pid, Status: 9, UID: 12345}}
	g.Semaphores = []image.SemaphoreSet{{Values: []uint16{1}, Undo: []image.Undo{{Pid: pid, Value: 1}}}}
	g.Objects = append(g.Objects, image.Object{ID: 90, Kind: "unix_socket", Record: json.RawMessage(`{"type":1,"messages":[{"size":0,"descriptors":[91]}]}`)})
	for i, d := range []image.Description{
		{Kind: "unix_socket", Object: 90},
		{Kind: "eventfd", Record: json.RawMessage(`{"count":1}`)},
		{Kind: "timerfd", Record: json.RawMessage(`{"clock":1,"value_ns":5,"interval_ns":7,"ticks":2}`)},
		{Kind: "signalfd", Record: json.RawMessage(`{"mask":512}`)},
		{Kind: "pidfd", Record: json.RawMessage(`{"status":9}`)},
		{Kind: "epoll", Record: json.RawMessage(`{"quiet":true,"targets":[{"fd":50,"description":91,"events":1,"spent":true},{"fd":54,"description":94}]}`)},
	} {
		d.ID = image.DescriptionID(90 + i)
		g.Descriptions = append(g.Descriptions, d)
		g.Processes[0].Descriptors = append(g.Processes[0].Descriptors, image.Descriptor{Fd: 50 + i, Description: d.ID})
	}
}

package fd_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// TestViews looks at many descriptors of a process by one view and by several at the same time. Both find the same.
func TestViews(t *testing.T) {
	child := fork(t, temporary(t, "file"))
	var calls []abi.Call
	for i := range 1500 { // every fourth descriptor is a copy of the first one, and every other one a copy of one before it
		switch i % 4 {
		case 0:
			calls = append(calls, abi.Call{Number: unix.SYS_DUP, Args: [6]uint64{inheritedFrom}})
		case 1, 3:
			calls = append(calls, abi.Call{Number: unix.SYS_EVENTFD2, Args: [6]uint64{uint64(i)}})
		case 2:
			calls = append(calls, abi.Call{Number: unix.SYS_DUP, Args: [6]uint64{uint64(inheritedFrom + i)}})
		}
	}
	results, err := child.calls(calls, nil)
	must(t, err)
	if last := results[len(results)-1]; last < 1000 {
		t.Skipf("the child cannot have 1500 descriptors: %v", unix.Errno(-last))
	}
	type found struct {
		Descriptors  [][]image.Descriptor
		Descriptions []image.Description
	}
	look := func(views int) (all found) {
		table := new(fd.Table)
		m := child.member(&table.Seen)
		m.Views = views
		d, err := fd.Look(m)
		must(t, err)
		var q resident.Questions
		d.Ask(&q)
		must(t, q.Put(m.Calls))
		all.Descriptors, err = fd.CaptureGroup([]*fd.Descriptors{d}, table)
		must(t, err)
		if len(table.Obstacles) > 0 {
			t.Error(table.Obstacles)
		}
		all.Descriptions = table.Descriptions
		return all
	}
	one := look(1)
	if n := len(one.Descriptors[0]); n < 1500 {
		t.Fatalf("%d descriptors, want 1500", n)
	}
	for range 3 {
		if diff := cmp.Diff(one, look(3)); diff != "" {
			t.Errorf("by three views (-by one +by three):\n%s", diff)
		}
	}
}

package dump

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crak.dev/crak/image"
)

// at makes runs from pairs of start and end.
func at(bounds ...uint64) (runs []image.Run) {
	for i := 0; i < len(bounds); i += 2 {
		runs = append(runs, image.Run{Start: bounds[i], Length: bounds[i+1] - bounds[i]})
	}
	return runs
}

func TestSubtract(t *testing.T) {
	for name, test := range map[string]struct{ runs, without, want []image.Run }{
		"nothing":      {at(1, 5), nil, at(1, 5)},
		"of nothing":   {nil, at(1, 5), nil},
		"beside":       {at(3, 5), at(1, 3, 5, 9), at(3, 5)},
		"all":          {at(3, 5), at(3, 5), nil},
		"more":         {at(3, 5, 6, 7), at(1, 9), nil},
		"first":        {at(3, 7), at(1, 4), at(4, 7)},
		"last":         {at(3, 7), at(6, 9), at(3, 6)},
		"middle":       {at(3, 9), at(4, 5, 7, 8), at(3, 4, 5, 7, 8, 9)},
		"one of two":   {at(1, 3, 5, 9), at(2, 6), at(1, 2, 6, 9)},
		"several each": {at(1, 4, 6, 8, 10, 12), at(0, 2, 3, 7, 11, 20), at(2, 3, 7, 8, 10, 11)},
	} {
		if diff := cmp.Diff(test.want, image.Subtract(test.runs, test.without)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestSubtractAndUnion compares the results with operations on sets of numbers.
func TestSubtractAndUnion(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		a, b := pick(random), pick(random)
		left := image.Subtract(toRuns(a), toRuns(b))
		var difference [64]bool
		for i := range a {
			difference[i] = a[i] && !b[i]
		}
		if diff := cmp.Diff(difference, toSet(t, left)); diff != "" {
			t.Fatalf("%v without %v is %v:\n%s", toRuns(a), toRuns(b), left, diff)
		}
		for i := range b {
			difference[i] = difference[i] || b[i]
		}
		if diff := cmp.Diff(difference, toSet(t, union(toRuns(b), left))); diff != "" {
			t.Fatalf("union: %s", diff)
		}
	}
}

func pick(random *rand.Rand) (set [64]bool) {
	for i := range set {
		set[i] = random.IntN(2) == 0
	}
	return set
}

func toRuns(set [64]bool) (runs []image.Run) {
	for i, in := range set {
		last := len(runs) - 1
		switch {
		case !in:
		case last >= 0 && runs[last].End() == uint64(i):
			runs[last].Length++
		default:
			runs = append(runs, image.Run{Start: uint64(i), Length: 1})
		}
	}
	return runs
}

// toSet fails the test if runs are not sorted or overlap.
func toSet(t *testing.T, runs []image.Run) (set [64]bool) {
	t.Helper()
	end := uint64(0)
	for _, r := range runs {
		if r.Start < end || r.Length == 0 {
			t.Fatalf("runs %v", runs)
		}
		for end = r.Start; end < r.End(); end++ {
			set[end] = true
		}
	}
	return set
}

func TestMoved(t *testing.T) {
	runs := at(10, 20, 30, 40)
	up := moved(runs, 5)
	if diff := cmp.Diff(at(15, 25, 35, 45), up); diff != "" {
		t.Error(diff)
	}
	five := uint64(5)
	if diff := cmp.Diff(runs, moved(up, -five)); diff != "" {
		t.Error(diff)
	}
	if runs[0].Start != 10 {
		t.Error("moved has changed its argument")
	}
}

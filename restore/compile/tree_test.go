package compile

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
	"crak.dev/crak/restore/program"
)

// aTree is 412 with the children 413 and 414, and 415, a child of 414.
func aTree() *image.Group {
	g := fixedGroup()
	for pid, parent := range map[image.Pid]image.Pid{413: 412, 414: 412, 415: 414} {
		p := handmade.Group(pid, owner).Processes[0]
		p.Parent = parent
		g.Processes = append(g.Processes, p)
	}
	return g
}

// TestTree: the interpreter makes the root, and each process makes its own children, before it maps its memory.
func TestTree(t *testing.T) {
	out, err := Programs(fixed(aTree()))
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Set.Check(out.Set.Measure(8000).Move(firstArea)); err != nil {
		t.Error(err)
	}
	made := make(map[string]string) // program to the program that makes it
	for _, p := range out.Set.Programs {
		for _, in := range p.Instructions {
			if in.Op == program.Process {
				made[out.Set.Programs[in.Args[0].Value].Name] = p.Name
			}
		}
	}
	want := map[string]string{"pid 412": "interpreter", "pid 413": "pid 412", "pid 414": "pid 412", "pid 415": "pid 414"}
	for name, by := range want {
		if made[name] != by {
			t.Errorf("%s is made by %q, want %q", name, made[name], by)
		}
	}
	if len(made) != len(want) {
		t.Errorf("made: %v", made)
	}
}

// TestTreeRefuses has processes that no program would make.
func TestTreeRefuses(t *testing.T) {
	for name, parents := range map[string][2]image.Pid{"a ring": {414, 413}, "itself": {413, 412}} {
		g := aTree()
		for i := range g.Processes {
			switch p := &g.Processes[i]; p.Pid {
			case 413:
				p.Parent = parents[0]
			case 414:
				p.Parent = parents[1]
			}
		}
		if _, err := Programs(fixed(g)); err == nil || !strings.Contains(err.Error(), "not a process that can have children") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFamilies compares the programs of families with those in testdata.
func TestFamilies(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(handmade.Families)) {
		t.Run(name, func(t *testing.T) {
			g, err := handmade.Family(412, owner, handmade.Families[name])
			if err != nil {
				t.Fatal(err)
			}
			out, err := Programs(fixed(g))
			if err != nil {
				t.Fatal(err)
			}
			if err := out.Set.Check(out.Set.Measure(8000).Move(firstArea)); err != nil {
				t.Error(err)
			}
			compareGolden(t, filepath.Join("testdata", "family_"+name+".txt"), out.Set)
		})
	}
}

// TestSharedDescription: of two members that have a description, one sets its owner, when the owner exists. Each has its own POSIX
// lock.
func TestSharedDescription(t *testing.T) {
	g := fixedGroup()
	withDescriptors(g)
	child := handmade.Group(413, owner).Processes[0]
	child.Parent, child.Descriptors = 412, g.Processes[0].Descriptors
	g.Processes = append(g.Processes, child)
	d := &g.Descriptions[1]
	d.Owner.Pid = 413
	d.Locks = append(d.Locks, image.Lock{Type: "POSIX", Pid: 413, Start: 30, End: 39})
	out, err := Programs(fixed(g))
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Set.Check(out.Set.Measure(8000).Move(firstArea)); err != nil {
		t.Error(err)
	}
	compareGolden(t, "testdata/shared_description.txt", out.Set)
}

// TestInherit: a child that has pages of its parent is made when the parent's memory is filled. It keeps what is the same.
func TestInherit(t *testing.T) {
	g, err := handmade.Family(412, owner, "A J A A\nB A A A")
	if err != nil {
		t.Fatal(err)
	}
	add := func(i int, pages image.Address, m image.Mapping) {
		p := &g.Processes[i]
		m.Start = p.Mappings[len(p.Mappings)-1].End + image.PageSize
		m.End, m.Kind = m.Start+pages*image.PageSize, image.MappingAnonymous
		p.Mappings = append(p.Mappings, m)
	}
	for i := range g.Processes {
		add(i, 16, image.Mapping{Prot: 3})
		add(i, 8, image.Mapping{Prot: 3, NoReserve: i == 0}) // differs
	}
	add(0, 4, image.Mapping{Prot: 3}) // only the parent has it
	target, all := fixed(g)
	at := uint64(g.Processes[0].Mappings[2].Start)
	run := func(first, pages uint64) image.Run {
		return image.Run{Start: at + first*image.PageSize, Length: pages * image.PageSize}
	}
	all[0].Pages = Pages{Own: []image.Run{run(0, 12), run(17, 8)}}
	all[1].Pages = Pages{Like: 412, Same: []image.Run{run(0, 4), run(8, 1), run(17, 2)}, Own: []image.Run{run(4, 2), run(15, 1)}}
	all[1].Filled = map[int]bool{2: true, 3: true}
	out, err := Programs(target, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Set.Check(out.Set.Measure(8000).Move(firstArea)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]image.Run{run(0, 4), run(8, 1)}, out.Kept[413]); diff != "" {
		t.Errorf("kept: -want +got:\n%s", diff)
	}
	compareGolden(t, "testdata/inherit.txt", out.Set)
}

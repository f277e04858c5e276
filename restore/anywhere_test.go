package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
	"crak.dev/crak/restore/program"
)

// faults are what can happen in place of an instruction.
var faults = map[string]program.Instruction{
	"fails": {Op: program.Call, Number: 9999, Slot: program.NoSlot},
	"dies":  {Op: program.Call, Number: unix.SYS_EXIT_GROUP, Args: [6]program.Arg{program.Const(7)}, Slot: program.NoSlot},
}

// TestFailsAnywhere restarts a tree, and lets each instruction of each program fail once, and each fourth end its process. The
// restart fails each time. It leaves no process, and changes no file before all members are ready.
func TestFailsAnywhere(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	beSubreaper(t)
	b := newBrokenTree(t)
	var whole *program.Set
	if err := b.run(t, func(s *program.Set) { whole = s }); err != nil {
		t.Fatal(err)
	}
	b.noneLeft(t)
	for name, fault := range faults {
		for n, p := range whole.Programs {
			for i := range p.Instructions {
				if name == "dies" && (i%4 != 0 || p.Instructions[i].Number == unix.SYS_EXIT_GROUP) {
					continue // each fourth: the test takes long enough
				}
				t.Run(fmt.Sprintf("%s/%s/%d", name, p.Name, i), func(t *testing.T) {
					ready := isReady(p, i)
					err := b.run(t, func(s *program.Set) { s.Programs[n].Instructions[i] = fault })
					if errors.As(err, new(takenError)) {
						t.Log(err) // another process of the machine has the PID
						return
					}
					// The process of a thread may have run and ended already. And who dies at the jump into the restored program,
					// the last instruction, is to crak like a program that dies at its first one.
					thread, atJump := strings.HasPrefix(p.Name, "thread"), name == "dies" && i == len(p.Instructions)-1
					if err == nil && !(thread && ready) && !atJump {
						t.Errorf("%s: restarted", whole.Text(&p.Instructions[i]))
					}
					b.noneLeft(t)
					if !ready {
						b.untouched(t)
					}
				})
			}
		}
	}
}

// A brokenTree is an image of a root with a thread, two children and a grandchild, and a file that the restart cuts back.
type brokenTree struct {
	img  *image.Image
	pids []image.Pid
	log  string
}

func newBrokenTree(t *testing.T) *brokenTree {
	g := aTree(t)
	b := &brokenTree{log: filepath.Join(t.TempDir(), "log")}
	for i, parent := range []image.Pid{g.Root, g.Root + 1} {
		p := handmade.Group(g.Root+2+image.Pid(i), me()).Processes[0]
		p.Parent = parent
		g.Processes = append(g.Processes, p)
	}
	thread := g.Processes[0].Threads[0]
	thread.Parked.Tid, thread.Parked.Flags = int32(g.Root)+4, 0
	g.Processes[0].Threads = append(g.Processes[0].Threads, thread)
	for i := range g.Processes {
		b.pids = append(b.pids, g.Processes[i].Pid)
	}
	writeFile(t, b.log, "before")
	describe(t, g, 3, b.log)
	img, err := image.Open(writeImage(t, g, says))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	b.img = img
	return b
}

// run restarts the tree here, with changed programs. If it runs, it ends.
func (b *brokenTree) run(t *testing.T, alter func(*program.Set)) error {
	t.Helper()
	writeFile(t, b.log, "before and after")
	return restartHere(b.img, alter)
}

// restartHere restarts an image, with changed programs. If the root runs, it ends before restartHere returns.
func restartHere(img *image.Image, alter func(*program.Set)) error {
	o := Options{Files: fd.Rewind, Notice: func(string) {}, Detach: true}
	root := 0
	g := &group{img: img, env: o.env(), alter: alter, adopt: func(of, _ *member) error { root = of.seen; return nil }}
	err := g.start(context.Background())
	if err == nil {
		wait(root)
	}
	return err
}

// beSubreaper makes this process the subreaper of the processes of a root that has ended, so that init does not have them.
func beSubreaper(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
}

// endAll kills and reaps all children.
func endAll() { (&family{}).kill(true) }

// isReady tells whether a process has reported that it is ready when it comes to an instruction. The last thing that each awaits is
// the go.
func isReady(p *program.Program, i int) bool {
	last := 0
	for k, in := range p.Instructions {
		if in.Op == program.Await {
			last = k
		}
	}
	return i >= last
}

func (b *brokenTree) untouched(t *testing.T) {
	t.Helper()
	if text, err := os.ReadFile(b.log); err != nil || string(text) != "before and after" {
		t.Errorf("log is now %q, %v", text, err)
	}
}

func (b *brokenTree) noneLeft(t *testing.T) {
	t.Helper()
	for _, pid := range b.pids {
		noStray(t, pid)
	}
}

// TestFamilyFailsAnywhere does the same with families: also helpers and zombies are made in a restart. It takes the first
// instruction of each program, and a few others.
func TestFamilyFailsAnywhere(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	beSubreaper(t)
	for _, name := range slices.Sorted(maps.Keys(handmade.Families)) {
		t.Run(name, func(t *testing.T) {
			g, err := handmade.Family(aPid(t)-20, me(), handmade.Families[name])
			if err != nil {
				t.Fatal(err)
			}
			img, err := image.Open(writeImage(t, g, says))
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			for n := 0; failsAt(t, img, n); n++ {
			}
		})
	}
}

// failsAt restarts an image several times, with faults in one program. It returns false if there is no program n.
func failsAt(t *testing.T, img *image.Image, n int) bool {
	t.Helper()
	for i := 0; ; i += 13 {
		for _, name := range []string{"dies", "fails"} {
			where, ready := "", false
			err := restartHere(img, func(s *program.Set) {
				if n >= len(s.Programs) || i >= len(s.Programs[n].Instructions) {
					return
				}
				p := s.Programs[n]
				where, ready = fmt.Sprintf("%s %d: %s %s", p.Name, i, name, s.Text(&p.Instructions[i])), isReady(p, i)
				if s.Programs[n].Instructions[i].Op != program.Call || s.Programs[n].Instructions[i].Number != unix.SYS_EXIT_GROUP {
					p.Instructions[i] = faults[name]
				} else {
					ready = true
				}
			})
			if err == nil {
				endAll()
			}
			if left := relatives(t); len(left) > 0 {
				endAll()
				t.Fatalf("%s: %v: left: %v", where, err, left)
			}
			if where == "" {
				return i > 0
			}
			if err == nil && !ready {
				t.Errorf("%s: restarted", where)
			}
			if errors.As(err, new(takenError)) {
				t.Logf("%s: %v", where, err) // another process of the machine has the PID
				return true
			}
		}
	}
}

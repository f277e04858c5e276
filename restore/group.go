package restore

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/stuck"
	"crak.dev/crak/restore/compile"
	"crak.dev/crak/restore/program"
)

// A group is one restart of an image: kernel objects, descriptors for the interpreter, the interpreter, and the members.
type group struct {
	img      *image.Image
	env      *fd.Env // open file descriptions are made from it
	mode     compile.Mode
	progress Progress           // may be nil
	alter    func(*program.Set) // may be nil; tests change the programs before they run
	phase    func(string)       // may be nil; tests end crak when it has come to a phase

	// adopt is called when all members exist, before they run. The process group of front is in the terminal's foreground.
	adopt func(root, front *member) error

	objects     objects
	sysv        sysvObjects
	open        []*os.File // closed when the restart is over
	ends        []*os.File // descriptions of objects that crak still needs, until all members are ready
	mapped      map[mappedFile]*os.File
	numbers     map[mappedFile]int // descriptors of the same files in the interpreter
	executables map[executableFile]int
	removed     map[string]int // descriptors of working directories that were removed, by path
	descriptors *descriptors
	batches     *batches
	seen        *seen
	target      *compile.Target
	shift       clockShift
	members     []*member
	programs    *compile.Output
	interpreter *interpreter
	kernelAt    []proc.Mapping // where members with another kernel's vDSO get this kernel's mappings
	filled      atomic.Uint64  // bytes of memory
	gaveUp      bool           // a goroutine still uses the group: the process ends soon
}

// Progress is called before memory is filled. done returns the number of bytes that are filled, total is the number of all
// bytes. The function that Progress returns is called when the restart is over.
type Progress func(done func() uint64, total uint64) (end func())

// start restarts the group in this PID namespace. The members run when it returns. On an error it leaves no
// process and no new file.
func (g *group) start(ctx context.Context) error {
	g.objects = make(objects)
	g.mapped, g.numbers, g.executables = make(map[mappedFile]*os.File), make(map[mappedFile]int), make(map[executableFile]int)
	g.removed = make(map[string]int)
	defer g.close()
	g.env.Memory = g.objects.file
	g.env.Content = g.content(ctx)
	g.env.Fill = func(id image.ObjectID, fn func(runs []image.Run, data []byte) error) error {
		return g.img.Fill(ctx, image.ObjectSpace(id), 1, fn)
	}
	g.env.SamePids = !g.mode.First
	g.env.Know(g.img.Group)
	if g.progress != nil {
		defer g.progress(g.filled.Load, g.img.Totals("").Raw)()
	}
	err := g.restore(ctx)
	if err != nil {
		g.sysv.remove()
		g.abandon()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return err
}

// abandon undoes what the restart has changed in the file systems. One that does not answer must not keep crak from ending.
func (g *group) abandon() {
	timeout := timeoutStuck
	if g.gaveUp { // it has waited before
		timeout = min(timeout, killTimeout)
	}
	err := stuck.Do(context.Background(), func() (uint64, time.Duration) { return g.moves(), timeout }, func() error {
		g.env.Abandon()
		return nil
	})
	if err != nil {
		g.gaveUp = true
		g.env.Notice(fmt.Sprintf("what the restart has changed is not undone: %v", err))
	}
}

// root is the member that the interpreter makes.
func (g *group) root() *member {
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.process.Pid == g.img.Group.Root })
	return g.members[i]
}

// front is a member whose process group was in the foreground of the root's terminal. It is the root if there is no such member.
func (g *group) front() *member {
	root := g.root()
	i := slices.IndexFunc(g.members, func(m *member) bool {
		return m.process.Foreground && m.process.Session == root.process.Session
	})
	if root.process.Foreground || i < 0 {
		return root
	}
	return g.members[i]
}

// rootOf is the root process of an image: all others descend from it.
func rootOf(g *image.Group) *image.Process {
	i := slices.IndexFunc(g.Processes, func(p image.Process) bool { return p.Pid == g.Root })
	return &g.Processes[i]
}

// content returns a function that reads the content of a kernel object. Bytes for which the image has no frame are zero.
func (g *group) content(ctx context.Context) func(image.ObjectID, int) ([]byte, error) {
	return func(id image.ObjectID, size int) ([]byte, error) {
		all := make([]byte, size)
		err := g.img.Fill(ctx, image.ObjectSpace(id), 0, func(runs []image.Run, data []byte) error {
			for _, r := range runs {
				data = data[copy(all[r.Start:r.End()], data):]
			}
			return nil
		})
		return all, err
	}
}

// at is called at the beginning of each phase.
func (g *group) at(phase string) {
	if g.phase != nil {
		g.phase(phase)
	}
}

// restore prepares the restart, starts the interpreter and lets the coordinator lead the members. After an error no process is left.
func (g *group) restore(ctx context.Context) (err error) {
	runtime.LockOSThread() // the parent of the root is a thread. A tracer's thread ends, and must be another one: see PR_SET_PDEATHSIG
	defer runtime.UnlockOSThread()
	if g.gaveUp, err = bounded(ctx, g.moves, func() error { return g.prepare(ctx) }); err != nil {
		return err
	}
	g.at("prepared")
	c, err := newCoordinator(g)
	if err != nil {
		return err
	}
	defer c.close()
	err = g.launch()
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		c.kill()
	}
	return err
}

func (g *group) close() {
	if g.gaveUp {
		return
	}
	if g.descriptors != nil {
		g.descriptors.close()
	}
	for _, f := range g.open {
		f.Close()
	}
	if g.interpreter != nil {
		g.interpreter.close()
	}
	if g.batches != nil {
		g.batches.close()
	}
	g.objects.close()
	g.env.Close()
}

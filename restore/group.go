package restore

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// A group is the members of an image on their way back: kernel objects, descriptors for
// the interpreter, and the interpreter.
type group struct {
	img  *image.Image
	env  *fd.Env
	mode mode

	objects     objects
	segments    segments
	open        []*os.File // for as long as the interpreter has not been started
	mapped      map[mappedFile]*os.File
	descriptors *descriptors
	target      target
	programs    *compiler
	interpreter *interpreter
	vdso        *foreignVDSO  // nil: the program has this kernel's
	control     *os.File      // our end of the member's socket
	filled      atomic.Uint64 // bytes of memory
}

// A mode (restore mode) says how the members of an image come back.
type mode struct {
	group         groupChoice
	first         bool                // the member is process 1 of a PID namespace that the interpreter begins
	apart         bool                // the member is to be nobody's child that we know before it runs
	userNamespace bool                // our own IDs are all that there are
	adopt         func(pid int) error // called when the members exist, before they run; pid is the root's, as we see it
	progress      Progress            // may be nil
}

// Progress is told, as memory is about to be filled, how to ask for the bytes done, and of how many. What it returns is
// called when that is over.
type Progress func(done func() uint64, total uint64) (end func())

// start brings the members of an image back in this PID namespace, as children of the calling process. They
// run when it returns; on an error nothing is left of them. Descriptors are made with env.
func start(ctx context.Context, img *image.Image, env *fd.Env, m mode) error {
	g := &group{img: img, env: env, mode: m, objects: make(objects)}
	defer g.close()
	env.Memory = g.objects.file
	env.Content = g.content(ctx)
	env.Know(img.Group)
	if m.progress != nil {
		defer m.progress(g.filled.Load, img.Totals("").Raw)()
	}
	err := g.bring(ctx)
	if err != nil {
		g.segments.remove()
		env.Abandon()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return err
}

// content reads what a kernel object held. What the image has no frame for is zero.
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

func (g *group) bring(ctx context.Context) error {
	if err := g.prepare(ctx); err != nil {
		return err
	}
	c, err := g.launch()
	if err != nil {
		return err
	}
	if err := c.conduct(ctx, g.mode.adopt); err != nil {
		c.kill()
		return err
	}
	c.release()
	return nil
}

// prepare makes everything that is inherited.
func (g *group) prepare(ctx context.Context) error {
	p := &g.img.Group.Processes[0]
	wanted := make(map[int]bool)
	for _, d := range p.Descriptors {
		wanted[d.Fd] = true
	}
	g.descriptors = newDescriptors(wanted)
	g.target = target{group: g.img.Group, process: p, uses: memoryUses(g.img.Group), mode: g.mode, timerIDs: timerIDs(), shift: shiftFor(p), hard: hardLimits()}
	if err := g.objects.make(ctx, g.img, g.env.Notice); err != nil {
		return err
	}
	if err := g.segments.make(g.img.Group); err != nil {
		return err
	}
	g.target.segments = g.segments.ids
	g.target.now = g.target.shift.now
	for _, open := range []func(*image.Process) error{g.mappedFiles, g.executable} {
		if err := open(p); err != nil {
			return fmt.Errorf("pid %d: %w", p.Pid, err)
		}
	}
	if err := g.descriptions(); err != nil {
		return err
	}
	var err error
	g.target.filled, err = filledMappings(g.img, p)
	return err
}

// descriptions makes the open file descriptions.
func (g *group) descriptions() error {
	g.target.descriptions = make(map[image.DescriptionID]int)
	g.target.memory = make(map[image.MemoryID]int)
	for _, d := range g.img.Group.Descriptions {
		f, err := fd.Make(d, g.env)
		if err != nil {
			return err
		}
		if d.Object != 0 {
			g.target.descriptions[d.ID], err = g.descriptors.place(f)
			f.Close() // or the pipe would have this end as long as we live
		} else {
			g.target.descriptions[d.ID], err = g.keep(f)
		}
		if err != nil {
			return err
		}
	}
	g.env.ClosePipes()
	for id, f := range g.objects {
		var err error
		if g.target.memory[id], err = g.descriptors.place(f); err != nil {
			return err
		}
	}
	return nil
}

// launch starts the interpreter and gives it its programs.
func (g *group) launch() (*conductor, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	g.control = ours
	defer theirs.Close()
	if g.target.control, err = g.descriptors.place(theirs); err != nil {
		return nil, err
	}
	if g.interpreter, err = startInterpreter(g.descriptors, g.target.process, g.target.shift, g.mode.first); err != nil {
		return nil, err
	}
	g.descriptors.close()
	g.target.kernel = kernelMappings(g.interpreter.mappings)
	g.target.credentials = credentialsFrom(&g.interpreter.status)
	if err = g.adoptVDSO(); err == nil {
		g.programs, err = compile(&g.target, g.interpreter.number)
	}
	if err == nil {
		err = g.interpreter.run(g.programs.set, g.img.Group)
	}
	if err != nil {
		g.interpreter.kill()
		return nil, err
	}
	return newConductor(g), nil
}

func (g *group) close() {
	for _, f := range g.open {
		f.Close()
	}
	if g.descriptors != nil {
		g.descriptors.close()
	}
	if g.interpreter != nil {
		g.interpreter.close()
	}
	if g.control != nil {
		g.control.Close()
	}
	g.objects.close()
	g.env.Close()
}

// hardLimits are our own, by resource.
func hardLimits() map[int]uint64 {
	hard := make(map[int]uint64)
	for resource := range unix.RLIMIT_RTTIME + 1 {
		var l unix.Rlimit
		if unix.Getrlimit(resource, &l) == nil {
			hard[resource] = l.Max
		}
	}
	return hard
}

// timerIDs probes for PR_TIMER_CREATE_RESTORE_IDS.
func timerIDs() bool {
	_, err := unix.PrctlRetInt(unix.PR_TIMER_CREATE_RESTORE_IDS, unix.PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0)
	return err == nil
}

// now reads a clock that all processes share.
func now(clock int32) (ns int64, ok bool) {
	var t unix.Timespec
	switch clock {
	case unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI, unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
		err := unix.ClockGettime(clock, &t)
		return t.Nano(), err == nil
	}
	return 0, false
}

// tids are the IDs that a group needs, sorted.
func tids(g *image.Group) (all []int) {
	for i := range g.Processes {
		for _, t := range g.Processes[i].Threads {
			all = append(all, int(t.Parked.Tid))
		}
	}
	slices.Sort(all)
	return all
}

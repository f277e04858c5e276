package restore

import (
	"context"
	"fmt"
	"slices"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/compile"
)

// prepare makes everything that the interpreter inherits, except the control socket.
func (g *group) prepare(ctx context.Context) error {
	all := g.img.Group.Processes
	g.descriptors, g.seen = newDescriptors(g.img.Group), newSeen()
	plan := newPlan(g.img.Group, g.env, int(min(descriptorLimit(), 1<<30)))
	g.target = &compile.Target{Group: g.img.Group, Mode: g.mode, Batches: plan.batches}
	g.shift = shiftFor(g.img.Group, clocks(), passedSince(g.img.Manifest)).possible(g.env.Tell)
	if err := g.objects.make(ctx, g.img, g.env); err != nil {
		return err
	}
	if err := g.sysv.make(g.img.Group); err != nil {
		return err
	}
	for i := range all {
		m, err := g.prepareMember(&all[i])
		if err != nil {
			return fmt.Errorf("pid %d: %w", all[i].Pid, err)
		}
		g.members = append(g.members, m)
	}
	g.batches = newBatches(plan, g.env, g.members)
	return g.descriptions()
}

// descriptions makes the open file descriptions that the interpreter inherits.
func (g *group) descriptions() error {
	g.target.Descriptions = make(map[image.DescriptionID]int)
	g.target.Memory, g.target.ReadOnly = make(map[image.MemoryID]int), make(map[image.MemoryID]int)
	all := slices.DeleteFunc(fd.Order(g.img.Group), func(d image.Description) bool { return g.batches.sets[d.ID] != nil })
	files, err := fd.MakeAll(all, g.env)
	if err != nil {
		return err
	}
	g.open = append(g.open, files...)
	if !g.env.Deferred() {
		g.env.CloseObjects()
	}
	for i, d := range all {
		f := files[i]
		switch {
		case d.Object == 0:
			g.target.Descriptions[d.ID], err = g.descriptors.share(f)
		case g.env.Deferred():
			g.ends = append(g.ends, f)
			g.target.Descriptions[d.ID], err = g.descriptors.share(f)
		default: // crak must not keep this end of the pipe open
			g.target.Descriptions[d.ID], err = g.descriptors.give(f)
		}
		if err != nil {
			return err
		}
	}
	uses := compile.Uses(g.img.Group)
	for id, f := range g.objects {
		var err error
		if g.target.Memory[id], err = g.descriptors.share(f); err != nil {
			return err
		}
		if !uses[id].IsReadOnly() {
			continue
		}
		reading, err := fd.ReadOnly(f)
		if err != nil {
			return fmt.Errorf("memory object %d: %w", id, err)
		}
		g.open = append(g.open, reading)
		if g.target.ReadOnly[id], err = g.descriptors.share(reading); err != nil {
			return err
		}
	}
	return nil
}

// fillDeferred fills the queues that wait for descriptions of members, and closes what crak has kept open for that.
func (g *group) fillDeferred() error {
	if !g.env.Deferred() {
		return nil
	}
	err := g.env.FillDeferred()
	for _, f := range g.ends {
		f.Close()
	}
	g.env.CloseObjects()
	return err
}

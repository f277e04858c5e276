package restore

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// batches makes descriptions when the members exist, and sends them to the members that have them, so that crak has only some of them
// open at the same time. plan (plan_descriptors.go) decides which descriptions these are.
//
//	member ── stage: receives ──>  crak makes the descriptions of one batch, sends them in one message on the control socket,
//	                               and closes those that no later batch has
//	       <─ its turn ──────────
//	       ── stage: receives, or received ──>  the next batch, or the next member
//
// All members share the other end of the control socket. So they receive one after the other, in the order of the plan. No member
// waits for another one before it receives.
type batches struct {
	*plan
	env  *fd.Env
	left map[image.DescriptionID]int      // how many members have not received it yet
	open map[image.DescriptionID]*os.File // made, and still needed
	turn []*member                        // the members that have not received everything yet
	want map[*member]bool                 // wait for a batch
	next map[*member]int                  // the number of the next batch
}

func newBatches(p *plan, env *fd.Env, members []*member) *batches {
	b := &batches{plan: p, env: env, left: make(map[image.DescriptionID]int), open: make(map[image.DescriptionID]*os.File),
		want: make(map[*member]bool), next: make(map[*member]int)}
	byPid := make(map[image.Pid]*member)
	for _, m := range members {
		byPid[m.pid()] = m
	}
	for _, pid := range p.turns {
		m := byPid[pid]
		b.turn = append(b.turn, m)
		for _, batch := range p.batches[m.pid()] {
			for _, id := range batch {
				b.left[id]++
			}
		}
	}
	return b
}

// receives is called when a member waits for a batch.
func (c *coordinator) receives(ctx context.Context, m *member) {
	c.group.at("batches")
	c.group.batches.want[m] = true
	c.send(ctx)
}

// received is called when a member has all batches.
func (c *coordinator) received(ctx context.Context, m *member) {
	if b := c.group.batches; len(b.turn) > 0 && b.turn[0] == m {
		b.turn = b.turn[1:]
	}
	c.send(ctx)
}

// send has a goroutine send a batch to the member whose turn it is, if the member waits for it. The member tells crak when it has
// received the batch, so only one such goroutine runs.
func (c *coordinator) send(ctx context.Context) {
	b := c.group.batches
	if len(b.turn) == 0 || !b.want[b.turn[0]] {
		return
	}
	m := b.turn[0]
	b.want[m] = false
	c.start(m, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return b.sendNext(m, int(c.group.interpreter.control.Fd()))
	})
}

// sendNext makes what the next batch of a member has, and sends it.
func (b *batches) sendNext(m *member, socket int) error {
	all := b.batches[m.pid()]
	if b.next[m] == len(all) {
		return fmt.Errorf("pid %d: waits for batch %d of %d", m.pid(), b.next[m]+1, len(all))
	}
	batch := all[b.next[m]]
	b.next[m]++
	numbers := make([]int, len(batch))
	for i, id := range batch {
		if err := b.make(id); err != nil {
			return err
		}
		numbers[i] = int(b.open[id].Fd())
	}
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(numbers...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("pid %d: %d descriptors: sendmsg: %w", m.pid(), len(numbers), err)
	}
	for _, id := range batch {
		if b.left[id]--; b.left[id] == 0 {
			b.open[id].Close()
			delete(b.open, id)
		}
	}
	return nil
}

// make makes a description, and those that are made together with it.
func (b *batches) make(id image.DescriptionID) error {
	if b.open[id] != nil {
		return nil
	}
	files, err := b.env.MakeSeparate(b.sets[id])
	if err != nil {
		return err
	}
	for i, d := range b.sets[id] {
		b.open[d.ID] = files[i]
	}
	return nil
}

func (b *batches) close() {
	for _, f := range b.open {
		f.Close()
	}
}

package dump

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// room is how many descriptors the writer may have for the members that it reads at the same time; 0: any number.
var room atomic.Int32

// Room bounds the descriptors that the writer has for the members that it reads at the same time.
func Room(n int) { room.Store(int32(max(n, 1))) }

// Descriptors that are open at the same time while one thread of the writer reads a member, a thread of a member, or memory.
const (
	perMember  = 6 // three of each view of fd.Look, a handle and its pidfd, a file of /proc
	perThread  = 1 // a file of /proc
	perReading = 2 // the memory of a member and of its parent
)

// workers is how many members are read at the same time, and also how many threads of each of these members.
func workers() int {
	n, most := 1, int(room.Load())
	for n < runtime.GOMAXPROCS(0) && (most == 0 || (n+1)*(perMember+(n+1)*perThread) <= most) {
		n++
	}
	return n
}

// readingsMost is how many members may be in the queue of the image's writer.
func readingsMost() int {
	const enough = 32
	if most := int(room.Load()); most > 0 {
		return max(1, min(enough, most/perReading-2)) // the writer also has the memory of the present member and of its parent open
	}
	return enough
}

// readings are the members whose memory the workers of the image's writer still have to read, in their order.
type readings struct{ all []*reading }

type reading struct {
	memories []*Memory // to be closed at the end
	pending  sync.WaitGroup
}

// begin adds a member.
func (r *readings) begin(own *Memory) *reading {
	one := &reading{memories: []*Memory{own}}
	r.all = append(r.all, one)
	return one
}

// close leaves it to end to close a memory, when all members that were added before have been read.
func (r *readings) close(m *Memory) {
	if m == nil {
		return
	}
	last := r.all[len(r.all)-1]
	last.memories = append(last.memories, m)
}

// end waits until at most left members remain to be read. It closes the memory of the others.
func (r *readings) end(left int) {
	for len(r.all) > left {
		r.all[0].pending.Wait()
		for _, m := range r.all[0].memories {
			m.Close()
		}
		r.all = r.all[1:]
	}
}

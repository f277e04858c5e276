package dump

import (
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/sysv"
)

// TestBelongs: an object belongs to the group if a member has used it since that member began. Before that another process may have
// had the member's PID.
func TestBelongs(t *testing.T) {
	restored := &Member{process: image.Process{Parent: 5}}
	c := &sysvCapture{members: []*Member{restored}, restored: true, since: 100, inside: map[image.Pid]int64{7: 100, 8: 200}}
	for _, v := range []struct {
		users []lastUse
		want  bool
	}{
		{nil, false}, // nobody has used it yet: crak restart, process 5, has not put it back
		{[]lastUse{{5, 300}}, true},
		{[]lastUse{{5, 300}, {9, 300}}, false},
		{[]lastUse{{9, 300}}, false},
		{[]lastUse{{7, 99}}, false},
		{[]lastUse{{7, 100}}, true},
		{[]lastUse{{8, 150}}, false},
		{[]lastUse{{9, 300}, {8, 200}}, true},
	} {
		if got := c.belongs(&unix.SysvIpcPerm{}, v.users, 300); got != v.want {
			t.Errorf("last used by %v: %v, want %v", v.users, got, v.want)
		}
	}
}

// TestQueueTooLarge: a resident can say that a queue has any number of bytes and messages. crak takes no memory for too many.
func TestQueueTooLarge(t *testing.T) {
	c := &sysvCapture{members: []*Member{{queues: sysv.QueueLimits{Message: 8192}}}}
	for _, v := range []struct{ bytes, messages uint64 }{{1 << 40, 1}, {1, 1 << 40}, {math.MaxUint64 - 1<<40 + 1, 1 << 40}, {math.MaxUint64, math.MaxUint64}} {
		q := &messageQueue{desc: sysv.QueueDesc{Bytes: v.bytes, Messages: v.messages}}
		if err := c.readQueues([]*messageQueue{q}); err != nil || q.failed != unix.E2BIG {
			t.Errorf("%d bytes in %d messages: %v, %v", v.bytes, v.messages, q.failed, err)
		}
	}
}

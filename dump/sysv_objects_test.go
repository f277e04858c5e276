package dump

import (
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
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

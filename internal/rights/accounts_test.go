package rights

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestAccounts reads files like /etc/passwd and /etc/group.
func TestAccounts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\neve:x:1002:1003::/:/bin/sh\n")
	write("group", "root:x:0:\nann:x:1000:\nbob:x:1001:eve\nstaff:x:50:root\neves:x:1003:\nboth:x:1004:root,ann\n")
	for _, v := range []struct {
		gid, uid uint32
		want     bool
	}{
		{1000, 1000, true}, {1001, 1001, false}, {50, 1000, true}, {1003, 1000, false}, {1004, 1000, true}, {1004, 1001, false},
		{77, 1000, false}, {1000, 1001, false}, {1000, 5000, false}, {0, 0, true}, {50, 0, true},
	} {
		if got := Accounts(dir).IsAlone(v.uid, v.gid); got != v.want {
			t.Errorf("group %d, user %d: %v, want %v", v.gid, v.uid, got, v.want)
		}
	}
	for uid, want := range map[uint32][]uint32{0: {0, 50, 1004}, 1000: {1000, 1004}, 1002: {1003, 1001}, 5000: nil} {
		if gid, all := Accounts(dir).groups(uid, 77); !slices.Equal(all, want) || want == nil && gid != 77 || want != nil && gid != want[0] {
			t.Errorf("user %d: group %d, %v; want %v", uid, gid, all, want)
		}
	}
}

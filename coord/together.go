package coord

import (
	"fmt"
	"slices"

	"crak.dev/crak/internal/kcmp"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// Members that share a descriptor table (clone(2), CLONE_FILES), or working directory, root directory and umask (CLONE_FS). A restart
// would give each its own. kcmp(2) orders these objects, so the survey sorts the members. Only a member that was forked after the
// survey is compared while the group is frozen, and only with its parent.
//
// A thread that ends has none of these objects any more, so two such threads compare as equal.

// shareable is what processes can share, for kcmp(2).
var shareable = []struct {
	kind      kcmp.Kind
	name, how string
}{
	{kcmp.Table, "its descriptors", "CLONE_FILES"},
	{kcmp.Directories, "its working directory and umask", "CLONE_FS"},
}

// together refuses members that share one of these.
func together(members []*member) (list obstacle.List) {
	for _, what := range shareable {
		compare := func(a, b *member) int {
			order, _ := kcmp.Threads(a.live, b.live, what.kind)
			return order
		}
		sorted := slices.DeleteFunc(slices.Clone(members), func(m *member) bool {
			_, err := kcmp.Threads(m.live, m.live, what.kind)
			return err != nil // the writer may not look at it, or the kernel has no kcmp
		})
		slices.SortFunc(sorted, compare)
		for i := 1; i < len(sorted); i++ {
			if a, b := sorted[i-1], sorted[i]; compare(a, b) == 0 && !isEnding(a.live) && !isEnding(b.live) {
				list = append(list, sharedBy(max(a.pid, b.pid), min(a.pid, b.pid), what.name, what.how))
			}
		}
	}
	return list
}

// togetherWithParent is together for members that were found during the freeze.
func togetherWithParent(members []*member) (list obstacle.List) {
	for _, m := range members {
		for _, what := range shareable {
			if parent := m.parent(); parent > 0 {
				if order, err := kcmp.Threads(m.live, parent, what.kind); err == nil && order == 0 && !isEnding(m.live) && !isEnding(parent) {
					list = append(list, sharedBy(m.pid, parent, what.name, what.how))
				}
			}
		}
	}
	return list
}

func sharedBy(pid, other int, name, how string) obstacle.Obstacle {
	return obstacle.Obstacle{Pid: pid, What: fmt.Sprintf("shares %s with pid %d", name, other), Why: fmt.Sprintf("clone(2) with %s is not supported", how),
		Do: "checkpoint it before the program makes this process, or when the process has executed a program"}
}

// isEnding tells whether a thread ends, or has ended.
func isEnding(tid int) bool {
	stat, err := proc.Read(tid, "stat", proc.Stat)
	return err != nil || stat.Flags&proc.Exiting != 0
}

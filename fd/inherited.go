package fd

import (
	"fmt"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// ancestorsMost bounds how many ancestors of a process are looked at.
const ancestorsMost = 64

// inheritedFrom is the nearest ancestor that has the same description open under the same number, or 0. If there is one, the
// program inherited the descriptor. kcmp(2) tells this only if the caller may read both processes.
func (m *Member) inheritedFrom(o *open) int {
	for _, pid := range ancestors(m.live()) {
		if isSame(m.live(), o.fd, pid, o.fd) {
			return pid
		}
	}
	return 0
}

// ancestors are the ancestors of a process, the parent first.
func ancestors(pid int) (all []int) {
	for range ancestorsMost {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		if err != nil || stat.PPid == 0 {
			break
		}
		pid = stat.PPid
		all = append(all, pid)
	}
	return all
}

// explainInherited changes the obstacle of a descriptor that the program inherited from process ancestor. The user did not
// open such a descriptor and often cannot close it, so the hint says how to do without it.
func explainInherited(fd, ancestor int, why obstacle.Obstacle) obstacle.Obstacle {
	why.Why = fmt.Sprintf("%s; the program inherited it from %s", why.Why, processName(ancestor))
	why.Option = leaveOut(fd)
	why.Do = startWithout(fd)
	return why
}

// leaveOut is the option of crak checkpoint that leaves a descriptor out of the image. Programs expect descriptors 0,
// 1 and 2 to be open, so these become /dev/null.
func leaveOut(fd int) string {
	return fmt.Sprintf("--fd %d=%s", fd, choose(fd <= 2, DevNull, LeaveOut))
}

// startWithout is a hint: how to start the program without the descriptor.
func startWithout(fd int) string {
	if fd <= 2 {
		return "redirect " + [...]string{"standard input", "standard output", "standard error"}[fd] + " when the program is started next time"
	}
	return "start the program next time with crak run --close-fds (or with N>&- in the shell, for descriptor N)"
}

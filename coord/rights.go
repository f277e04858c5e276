package coord

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/rights"
)

// Rights are the IDs and capabilities of a process, by which the kernel decides what the process may do.
type Rights struct {
	uid, gid [3]uint32 // real, effective, saved
	groups   []uint32  // sorted
	caps     uint64    // permitted, in crak's user namespace
	foreign  bool      // in another user namespace; false if the writer cannot read that
	start    uint64    // of the process, in clock ticks since boot

	program string           // programOf
	memory  *resident.Memory // of the process, opened before crak gave up any right; nil: it could not be opened
}

// rightsOf reads the rights of a process; pid 0 is crak itself.
func rightsOf(pid int) (Rights, error) {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return Rights{}, err
	}
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return Rights{}, err
	}
	return rightsFrom(pid, &stat, &status), nil
}

// rightsFrom takes the rights of a process from its stat and status.
func rightsFrom(pid int, stat *proc.StatInfo, status *proc.StatusInfo) Rights {
	r := Rights{
		uid:    [3]uint32(status.Uid[:3]),
		gid:    [3]uint32(status.Gid[:3]),
		groups: slices.Sorted(slices.Values(status.Groups)),
		start:  stat.StartTime,
	}
	if theirs, err := userNamespace(pid); err == nil {
		ours, err := ownNamespace()
		r.foreign = err == nil && ours != theirs
	}
	if !r.foreign {
		r.caps = status.CapPrm
	}
	return r
}

// certainRightsOf is rightsOf without the capabilities that may be worth nothing in crak's user namespace.
func certainRightsOf(pid int) (Rights, error) {
	r, err := rightsOf(pid)
	if _, unknown := userNamespace(pid); unknown != nil {
		r.caps = 0
	}
	return r, err
}

// userNamespace reads the name of the user namespace of a process that crak may trace. Capabilities in another user namespace
// are worth nothing in crak's.
func userNamespace(pid int) (string, error) { return os.Readlink(proc.Path(pid, "ns/user")) }

// ownNamespace is the name of crak's own user namespace, in which it stays.
var ownNamespace = sync.OnceValues(func() (string, error) { return userNamespace(0) })

// isOrdinary tells whether these are the rights of an ordinary user, who has no right to give up.
func (r Rights) isOrdinary() bool {
	return r.caps == 0 && !slices.Contains(r.uid[:], 0)
}

// isMixed tells whether the user IDs, or the group IDs, differ from one another. Only a process with CAP_SYS_PTRACE may trace
// such a process (ptrace(2), PTRACE_MODE_FSCREDS).
func (r Rights) isMixed() bool {
	return r.uid != [3]uint32{r.uid[0], r.uid[0], r.uid[0]} || r.gid != [3]uint32{r.gid[0], r.gid[0], r.gid[0]}
}

func (r Rights) sameIDs(other Rights) bool {
	return r.uid == other.uid && r.gid == other.gid && slices.Equal(r.groups, other.groups)
}

// still checks that process pid is the same process and still has every right that it had. If the process has ended,
// another user's process may have its PID.
func (r *Rights) still(pid int) error {
	now, err := rightsOf(pid)
	if err != nil {
		return fmt.Errorf("pid %d: %w", pid, err)
	}
	return r.compare(pid, now)
}

func (r *Rights) compare(pid int, now Rights) error {
	if now.start != r.start {
		return fmt.Errorf("pid %d: %w", pid, resident.ErrEnded)
	}
	if !now.sameIDs(*r) || r.caps&^now.caps != 0 {
		return obstacle.List{{Pid: pid, What: fmt.Sprintf("process of user %d", now.uid[1]),
			Why: fmt.Sprintf("it has changed its user, groups or capabilities during the checkpoint, and belonged to user %d", r.uid[1]), Do: "try again", Passes: true}}
	}
	return nil
}

// Adopt gives up every right that process pid does not have, in all threads and for good. crak gets the user IDs, group IDs
// and groups of that process, and keeps only those capabilities that the process has, too. Whatever the process says, and
// whichever files it prepares, crak can then do nothing that the process could not do itself. An ordinary user has no right
// to give up: the result is then nil.
//
// Adopt also changes the working directory to /, because the other user might have no access to the present one.
//
// If crak gives up rights that connections to other programs need, Adopt first calls keep, which may be nil, with the user of the process.
func Adopt(pid int, keep func(user uint32) error) (*Rights, error) {
	theirs, err := certainRightsOf(pid)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("pid %d: %w", pid, errNoProcess)
	}
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	ours, err := rightsOf(0)
	if err != nil || ours.isOrdinary() {
		return nil, err
	}
	theirs.program = programOf(pid)
	memory, _ := resident.OpenMemory(pid) // the kernel checks the rights at open; only root may open the memory of a program that is not dumpable
	if !ours.sameIDs(theirs) || ours.caps&^theirs.caps != 0 {
		if keep != nil && fd.MayKeep(ours.caps, theirs.caps) {
			if err := keep(theirs.uid[1]); err != nil {
				return nil, err
			}
		}
		if err := ours.become(theirs); err != nil {
			return nil, obstacle.List{{Pid: pid, What: fmt.Sprintf("process of user %d", theirs.uid[1]),
				Why: fmt.Sprintf("crak has rights that this process does not have, and cannot give them up: %v", err), Do: "run crak as that user"}}
		}
	}
	theirs.caps &= ours.caps
	theirs.memory = memory
	return &theirs, theirs.still(pid)
}

// become changes crak's IDs to theirs, and gives up the capabilities that theirs does not have.
func (r Rights) become(theirs Rights) error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return rights.User{UID: theirs.uid, GID: theirs.gid, Groups: theirs.groups, Capabilities: r.caps & theirs.caps}.Become()
}

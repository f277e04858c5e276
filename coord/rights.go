package coord

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/rights"
)

// Rights are what the kernel lets a process do: its IDs and its capabilities.
type Rights struct {
	uid, gid [3]uint32 // real, effective, saved
	groups   []uint32  // sorted
	caps     uint64    // permitted, in our own user namespace
	foreign  bool      // in another user namespace; false where that cannot be told
	start    uint64    // of the process, in ticks since boot

	memory *resident.Memory // of the process, opened before anything was given up; nil: it could not be opened
}

// rightsOf reads the rights of a process; pid 0 stands for ourselves.
func rightsOf(pid int) (Rights, error) {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return Rights{}, err
	}
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return Rights{}, err
	}
	r := Rights{
		uid:    [3]uint32(status.Uid[:3]),
		gid:    [3]uint32(status.Gid[:3]),
		groups: slices.Sorted(slices.Values(status.Groups)),
		start:  stat.StartTime,
	}
	if theirs, err := userNamespace(pid); err == nil {
		ours, err := userNamespace(0)
		r.foreign = err == nil && ours != theirs
	}
	if !r.foreign {
		r.caps = status.CapPrm
	}
	return r, nil
}

// userNamespace names the user namespace of a process that we may trace: in another one capabilities are none in ours.
func userNamespace(pid int) (string, error) { return os.Readlink(proc.Path(pid, "ns/user")) }

// isOrdinary: a user without capabilities, who has nothing to give up.
func (r Rights) isOrdinary() bool {
	return r.caps == 0 && !slices.Contains(r.uid[:], 0)
}

// isMixed: the kernel allows nobody to trace such a process, but by capability (ptrace(2), PTRACE_MODE_FSCREDS).
func (r Rights) isMixed() bool {
	return r.uid != [3]uint32{r.uid[0], r.uid[0], r.uid[0]} || r.gid != [3]uint32{r.gid[0], r.gid[0], r.gid[0]}
}

func (r Rights) sameIDs(other Rights) bool {
	return r.uid == other.uid && r.gid == other.gid && slices.Equal(r.groups, other.groups)
}

// still makes sure that process pid has all the rights that this one took from it: another user's may be in its place.
func (r *Rights) still(pid int) error {
	if r == nil {
		return nil
	}
	now, err := rightsOf(pid)
	if err != nil {
		return fmt.Errorf("pid %d: %w", pid, err)
	}
	if now.start != r.start || !now.sameIDs(*r) || r.caps&^now.caps != 0 {
		return fmt.Errorf("pid %d: it ended or changed its user meanwhile: try again", pid)
	}
	return nil
}

// Adopt gives up every right that process pid does not have, in all threads and for good: this process gets the user
// IDs, group IDs and groups of that one, and keeps no capability that it has not. So nothing that the other process
// says or puts in our way makes us do what it could not do itself. An ordinary user has nothing to give up: then the
// result is nil.
//
// It also leaves the working directory, which the other user might not be able to enter.
func Adopt(pid int) (*Rights, error) {
	process, err := unix.PidfdOpen(pid, 0) // until the end: the PID is nobody else's
	if err == nil {
		defer unix.Close(process)
	}
	theirs, err := rightsOf(pid)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("pid %d: no such process", pid)
	}
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	ours, err := rightsOf(0)
	if err != nil || ours.isOrdinary() {
		return nil, err
	}
	if _, err := userNamespace(pid); err != nil {
		theirs.caps = 0
	}
	memory, _ := resident.OpenMemory(pid) // the kernel asks now who we are: of a program that is not dumpable, only root gets it
	if !ours.sameIDs(theirs) || ours.caps&^theirs.caps != 0 {
		if err := ours.become(theirs); err != nil {
			return nil, obstacle.List{{Pid: pid, What: fmt.Sprintf("process of user %d", theirs.uid[1]),
				Why: fmt.Sprintf("crak has rights that it has not, and cannot give them up: %v", err), Do: "run crak as that user"}}
		}
	}
	theirs.caps &= ours.caps
	theirs.memory = memory
	return &theirs, theirs.still(pid)
}

// become gives up what theirs lacks.
func (r Rights) become(theirs Rights) error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return rights.User{UID: theirs.uid, GID: theirs.gid, Groups: theirs.groups, Capabilities: r.caps & theirs.caps}.Become()
}

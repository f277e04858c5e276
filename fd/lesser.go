package fd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/rights"
)

// lessers are the users of processes that have fewer rights than crak, which opens files for them: processes of other users, restarted by
// root. If the file of the checkpoint is still at its path, such a process gets it, because it had it open. If another file is there,
// crak checks whether the process could open that file itself. Otherwise a user could have root's file, or another user's, put at this path.
type lessers []rights.User

func lessersOf(p *image.Process) lessers {
	if len(p.Threads) == 0 {
		return nil
	}
	c := &p.Threads[0].Credentials
	if c.UID[1] == uint32(os.Geteuid()) {
		return nil
	}
	return lessers{{UID: [3]uint32(c.UID[:3]), GID: [3]uint32(c.GID[:3]), Groups: c.Groups, Capabilities: c.Effective}}
}

func (l lessers) and(other lessers) lessers {
	all := slices.Clone(l)
	for _, u := range other {
		if !slices.ContainsFunc(all, func(v rights.User) bool { return sameUser(u, v) }) {
			all = append(all, u)
		}
	}
	return all
}

func sameUser(u, v rights.User) bool {
	return u.UID == v.UID && u.GID == v.GID && slices.Equal(u.Groups, v.Groups) && u.Capabilities == v.Capabilities
}

// knowLessers finds out which descriptions such processes have.
func (e *Env) knowLessers(g *image.Group) {
	e.lessers = make(map[image.DescriptionID]lessers)
	for i := range g.Processes {
		who := lessersOf(&g.Processes[i])
		for _, d := range g.Processes[i].Descriptors {
			if len(who) > 0 {
				e.lessers[d.Description] = e.lessers[d.Description].and(who)
			}
		}
	}
}

// gain is an obstacle if one of the users would get a file that is not that of the checkpoint, and that the user could not open in this mode
// (access(2)). The kernel tells, in a thread that has the user's rights.
func (l lessers) gain(c Comparison, mode uint32) obstacle.List {
	if len(l) == 0 || c.Change == Gone || c.Want.Relocated || c.isThatOfCheckpoint() {
		return nil
	}
	for _, u := range l {
		if err := u.Do(func() error { return reaches(c, mode) }); err != nil {
			return obstacle.List{{What: c.Want.Path, Why: fmt.Sprintf("%s, and user %d could not open it: %v", inWords(c), u.UID[1], cause.Of(err)),
				Do: fmt.Sprintf("put the file of the checkpoint back, or give user %d access to this one", u.UID[1])}}
		}
	}
	return nil
}

func inWords(c Comparison) string {
	if c.Change == Same {
		return "is another file than at the checkpoint"
	}
	return c.String()
}

// isThatOfCheckpoint tells whether the file that is at the path now is certainly that of the checkpoint. An inode number says that only together
// with the device. The kernel gives the number of a removed file to a new one, which may belong to another user. The number of a device can
// change when the machine starts again, so another device does not matter where only root could put a file.
func (c Comparison) isThatOfCheckpoint() bool {
	if c.Have.Inode != c.Want.Inode || c.Have.UID != c.Want.UID || c.Have.Mode&unix.S_IFMT != c.Want.Mode&unix.S_IFMT {
		return false
	}
	return c.Have.Device == c.Want.Device || image.OnlyOwn(filepath.Dir(c.Want.Path))
}

// onlyRootPuts tells whether only root can ever have put a file at a path, or a directory on the way there. In a directory like /tmp, a name
// that is root's now may have been another user's.
func onlyRootPuts(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if !image.OnlyOwn(dir) {
			return false
		}
		if dir == "/" || dir == "." {
			return true
		}
	}
}

// reaches checks that the calling thread may open the file that the comparison has found at its path.
func reaches(c Comparison, mode uint32) error {
	f, st, err := find(c.Want.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if st.Dev != c.Have.Device || st.Ino != c.Have.Inode {
		return &os.PathError{Op: "open", Path: c.Want.Path, Err: errors.New("it is replaced at this moment")}
	}
	if err := unix.Faccessat2(int(f.Fd()), "", mode, unix.AT_EMPTY_PATH|unix.AT_EACCESS); err != nil {
		return &os.PathError{Op: "access", Path: c.Want.Path, Err: err}
	}
	return nil
}

// accessMode is the mode of access(2) for the flags of open(2).
func accessMode(flags uint32) uint32 {
	if flags&unix.O_PATH != 0 {
		return unix.F_OK
	}
	return [...]uint32{unix.R_OK, unix.W_OK, unix.R_OK | unix.W_OK, 0}[flags&unix.O_ACCMODE]
}

// CheckDirectory checks that a process that is to have a directory as its working directory may have it. If other users than root could have put
// another directory at the path, the process must be able to enter it: the image does not say which directory it was.
func CheckDirectory(p *image.Process, path string) error {
	f, err := OpenDirectory(path)
	if err != nil {
		return err
	}
	defer f.Close()
	l := lessersOf(p)
	if len(l) == 0 || onlyRootPuts(path) {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	c := Comparison{Want: image.File{Path: path}, Have: image.File{Device: st.Dev, Inode: st.Ino}}
	for _, u := range l {
		if err := u.Do(func() error { return reaches(c, unix.X_OK) }); err != nil {
			return fmt.Errorf("user %d could not enter it: %w", u.UID[1], err)
		}
	}
	return nil
}

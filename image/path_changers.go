package image

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
)

// A Changer is a user, or all users of a group, who can change where a path leads.
type Changer struct {
	ID    uint32
	Group bool
}

// AnyGroup stands for all users of the system: it is the group that the kernel shows for a group that it does not know.
const AnyGroup = 65534

// CheckDirectory returns an error if another user could replace a directory, or put files into it.
func CheckDirectory(path string) error {
	w, err := newPathWalk(path, true)
	if err == nil {
		w.close()
	}
	return err
}

// Changers returns the users besides the caller and root who can change where the path of a directory leads.
func Changers(path string) ([]Changer, error) {
	w := &pathWalk{strict: true, uid: uint32(os.Geteuid()), dir: -1, changers: make(map[Changer]bool)}
	defer w.close()
	err := w.walk(path)
	return slices.Collect(maps.Keys(w.changers)), err
}

// OnlyOwn tells whether nobody but the caller's user and root can put files into a directory, or replace it.
func OnlyOwn(path string) bool {
	w, err := newPathWalk(path, true)
	if err != nil {
		return false
	}
	defer w.close()
	return w.end() == nil
}

// check checks an entry of the current directory.
func (w *pathWalk) check(name string, st *unix.Stat_t) error {
	path := filepath.Join(w.path, name)
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if link && st.Uid != w.uid && st.Uid != 0 {
		if err := w.refuse(Changer{ID: st.Uid}, obstacle.Obstacle{Where: path, What: "symbolic link",
			Why: fmt.Sprintf("belongs to user %d, who can make it point elsewhere", st.Uid), Do: "name the directory itself"}); err != nil {
			return err
		}
	}
	if !w.strict {
		return nil
	}
	if who := w.othersWrite(); who != "" && name != ".." {
		if !w.sticky() {
			group := w.st.Gid
			if w.st.Mode&unix.S_IWOTH != 0 {
				group = AnyGroup
			}
			if err := w.refuse(Changer{group, true}, w.writable(who)); err != nil {
				return err
			}
		}
		if link && st.Uid != w.uid {
			if err := w.refuse(Changer{ID: st.Uid}, w.foreign(path, st.Uid)); err != nil {
				return err
			}
		}
	}
	if !link && st.Uid != w.uid && !w.isRoot(st.Uid) {
		return w.refuse(Changer{ID: st.Uid}, w.foreign(path, st.Uid))
	}
	return nil
}

// refuse returns an error, or notes a changer if the walk collects them.
func (w *pathWalk) refuse(who Changer, err error) error {
	if w.changers == nil {
		return err
	}
	w.changers[who] = true
	return nil
}

// isRoot tells whether root, or possibly root, is the owner of a directory on the way. In a user namespace that does not map root,
// the directories of root and of all other unmapped users have the same owner. There check accepts the directories of all
// these users on the way, but end does not accept them as the last directory.
func (w *pathWalk) isRoot(uid uint32) bool { return uid == 0 || uid == w.top }

// end checks the last directory, which has the files of the caller.
func (w *pathWalk) end() error {
	if w.st.Uid != w.uid && (w.st.Uid != 0 || !w.strict) {
		return w.foreign(w.path, w.st.Uid)
	}
	if who := w.othersWrite(); who != "" {
		return w.writable(who)
	}
	return nil
}

// othersWrite says which users besides the caller and root can write to the current directory: "" for none. A walk that collects changers
// has the owner of the directory already.
func (w *pathWalk) othersWrite() string {
	uid := w.uid
	if w.changers != nil {
		uid = w.st.Uid
	}
	return othersWrite(w.dir, &w.st, uid)
}

func (w *pathWalk) sticky() bool { return w.st.Mode&unix.S_ISVTX != 0 }

func (w *pathWalk) writable(who string) error {
	return obstacle.Obstacle{Where: w.path, What: "directory", Why: who + " can write to it, and so can replace your image",
		Do: "chmod go-w " + printable.Shell(w.path) + ", or move the image to a directory of your own"}
}

func (w *pathWalk) foreign(path string, uid uint32) error {
	return Foreign{obstacle.Obstacle{Where: path, What: "directory",
		Why: fmt.Sprintf("belongs to user %d, not to user %d or root", uid, w.uid), Do: w.whatToDo()}}
}

func (w *pathWalk) whatToDo() string {
	switch {
	case !w.strict:
		return "choose another directory with CRAK_DIR, or with --dir of crak run"
	case w.uid == 0:
		return "crak restart --as-owner restarts a user's image as that user"
	}
	return "use an image of your own in a directory of your own"
}

// Foreign is the error for a file of another user where only the caller's files are accepted.
type Foreign struct{ obstacle.Obstacle }

// Unwrap returns the error as an Obstacle.
func (f Foreign) Unwrap() error { return f.Obstacle }

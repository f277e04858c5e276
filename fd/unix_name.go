package fd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// UnixName is the name of a Unix socket (unix(7)). Exactly one of Path and Abstract is set.
type UnixName struct {
	Path      string    `json:"path,omitempty"`      // as bind(2) got it
	Directory string    `json:"directory,omitempty"` // a relative Path starts there
	File      *UnixFile `json:"file,omitempty"`      // the file that bind(2) made; nil: it has been removed, or is another socket's now
	Abstract  string    `json:"abstract,omitempty"`  // without the zero byte that it begins with
}

// UnixFile is the file of a socket that has a path.
type UnixFile struct {
	Mode uint32 `json:"mode"` // st_mode
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`

	// Renamed is its name in the same directory, if the file was renamed after bind(2).
	Renamed string `json:"renamed,omitempty"`
}

// unixNameMost is the size of sun_path.
const unixNameMost = 108

func (n *UnixName) String() string {
	switch {
	case n == nil:
		return "without a name"
	case n.Path == "":
		return "@" + n.Abstract
	default:
		return n.full()
	}
}

func (n *UnixName) full() string {
	if n.Directory == "" || filepath.IsAbs(n.Path) {
		return n.Path
	}
	return filepath.Join(n.Directory, n.Path)
}

// relocate changes the path of the socket's file. A relative name stays as the program has given it, and its directory changes.
func (n *UnixName) relocate(to Relocations) {
	if n != nil && n.Path != "" {
		to.path(&n.Path)
		to.path(&n.Directory)
	}
}

func (n *UnixName) check() error {
	if n == nil {
		return nil
	}
	text := n.Path
	if text == "" {
		text = "\x00" + n.Abstract
	}
	switch {
	case len(text) > unixNameMost, (n.Path == "") == (n.Abstract == ""), strings.ContainsRune(n.Path, 0):
		return errors.New("not a name of a Unix socket")
	case n.File != nil && (strings.ContainsAny(n.File.Renamed, "/\x00") || n.File.Renamed == "." || n.File.Renamed == ".."):
		return errors.New("not a name of a file")
	case n.Directory != "" && !filepath.IsAbs(n.Directory):
		return fmt.Errorf("directory %q: not absolute", n.Directory)
	}
	return nil
}

// same tells whether getsockname(2) returns the same for two names.
func (n *UnixName) same(other *UnixName) bool {
	if n == nil || other == nil {
		return n == other
	}
	return n.Path == other.Path && n.Abstract == other.Abstract
}

// address is the struct sockaddr_un of a name, and its length.
func (n *UnixName) address() (unix.RawSockaddrUnix, uintptr) {
	a := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	text := n.Path + "\x00"
	if n.Path == "" {
		text = "\x00" + n.Abstract
	}
	for i := range min(len(text), len(a.Path)) {
		a.Path[i] = int8(text[i])
	}
	return a, unsafe.Offsetof(a.Path) + uintptr(min(len(text), len(a.Path)))
}

// nameOf makes a name from the bytes of sun_path.
func nameOf(text string) *UnixName {
	switch {
	case text == "":
		return nil
	case text[0] == 0:
		return &UnixName{Abstract: text[1:]}
	default:
		path, _, _ := strings.Cut(text, "\x00")
		return &UnixName{Path: path}
	}
}

// findFile finds the file of a bound socket, by its inode. A relative path may start at the working directory of any member, or at
// a directory that a member has open.
func (n *UnixName) findFile(inode uint32, directories []string) {
	for _, dir := range directories {
		var st unix.Stat_t
		if unix.Lstat(joined(dir, n.Path), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || uint32(st.Ino) != inode {
			continue
		}
		n.foundFile(&st, dir)
		return
	}
	n.findRenamed(inode, directories)
}

func (n *UnixName) foundFile(st *unix.Stat_t, dir string) {
	n.File = &UnixFile{Mode: st.Mode, UID: st.Uid, GID: st.Gid}
	if !filepath.IsAbs(n.Path) {
		n.Directory, _ = os.Readlink(dir)
	}
}

// findRenamed finds the file under another name in the same directory: programs bind a socket to a temporary name, and rename the file when
// the socket listens.
func (n *UnixName) findRenamed(inode uint32, directories []string) {
	if filepath.IsAbs(n.Path) {
		directories = []string{""}
	}
	is := func(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFSOCK }
	for _, dir := range directories {
		name, st := OtherName(joined(dir, n.dir()), uint64(inode), is)
		if name == "" {
			continue
		}
		n.foundFile(st, dir)
		n.File.Renamed = name
		return
	}
}

// joined is a path below a directory. A path that begins with a slash stays as it is.
func joined(dir, path string) string {
	if filepath.IsAbs(path) || dir == "" {
		return path
	}
	return dir + "/" + path
}

// openDirectories are the working directories of a group and the directories that it has open, as links in /proc.
func (c *capture) openDirectories() []string {
	if c.directories != nil {
		return c.directories
	}
	for _, d := range c.members {
		c.directories = append(c.directories, d.member.Proc+"/cwd")
		for _, s := range d.all {
			if s.of.format() == unix.S_IFDIR {
				c.directories = append(c.directories, d.member.Proc+"/fd/"+strconv.Itoa(s.fd))
			}
		}
	}
	return c.directories
}

package fd

import (
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A slot is a number of a member's descriptor table.
type slot struct {
	fd    int
	cloex bool // answer of the initiator
	gone  bool // the initiator says that the descriptor is closed
	of    *open
	posix []proc.FileLock // the member's own locks that were taken through the description
}

// open is an open file description, as it is seen through one descriptor of a member.
type open struct {
	member    *Member
	fd        int
	handle    *Handle // only while the description is captured, and if the program is frozen
	link      string  // what the path links to: "/tmp/x", "/tmp/x (deleted)", "pipe:[12]"
	stat      unix.Stat_t
	flags     uint32 // F_GETFL
	pos       int64
	locks     []proc.FileLock // of the description; not POSIX locks, which belong to a process
	lockState atomic.Int32    // lockNone, …: what is known about POSIX locks on the file
	lines     lines           // the other lines of fdinfo, if Look has read it
	ownerless bool            // nobody gets its I/O signals
	ownedBy   *uint32         // the user who has set who gets them; nil: not known
	owner     *owner          // answers of the initiator; nil if ownerless
	swapped   bool            // the descriptor now has another description
	ownPipe   bool            // a pipe or FIFO that only the group has open
	protocol  string          // of a socket: "UNIX", "TCPv6"
	socket    *unixSocket     // a Unix socket
	inet      *inetSocket     // a TCP socket that sock_diag(7) lists
	pty       *pty            // a pseudo-terminal of which the group has the master
	hungUp    bool            // the slave of a pseudo-terminal whose master is closed

	eventfd  string   // ID of an eventfd (Linux 5.2)
	override Override // "" if the user has made no choice

	ofResident bool // in a member that runs: its resident answers another crak by this socket

	connection Override // Reset or Reconnect, if the user has chosen that for this TCP connection

	filesystem int64 // its type (statfs(2)), for files with a path; 0 if statfs fails

	within *open // the socket whose queue it is in, if no member has it

	same    *open              // the equal description that was found first; nil if this one is new
	refusal *obstacle.Obstacle // crak cannot tell whether it equals another description
	holders []holding          // every descriptor of the group that has the description, in order
}

// holding is a descriptor of a member.
type holding struct {
	of *Descriptors
	*slot
}

// path leads to the object: "/proc/self/fd/9" of the handle, or "/proc/412/fd/7".
func (o *open) path() string {
	if o.handle.fd >= 0 {
		return o.handle.path()
	}
	if o.member == nil { // a restart has found it by its path
		return o.link
	}
	return o.member.Proc + "/fd/" + strconv.Itoa(o.fd)
}

func (o *open) format() uint32 { return o.stat.Mode & unix.S_IFMT }
func (o *open) inode() Inode   { return Inode{o.stat.Dev, o.stat.Ino} }
func (o *open) writable() bool { return o.flags&unix.O_ACCMODE != unix.O_RDONLY }
func (o *open) readable() bool { return o.flags&unix.O_ACCMODE != unix.O_WRONLY }
func (o *open) isPipe() bool   { return o.format() == unix.S_IFIFO && o.flags&unix.O_PATH == 0 }
func (o *open) hasPath() bool  { return strings.HasPrefix(o.link, "/") }
func (o *open) rdev() (major, minor uint32) {
	return unix.Major(o.stat.Rdev), unix.Minor(o.stat.Rdev)
}

// isPlain tells whether Look has read everything of a description, as of a file or directory that has a path. The writer needs no
// handle to capture it.
func (o *open) isPlain() bool {
	format := o.format()
	return device.is(o) || eventfd.is(o) && o.lines != nil || (format == unix.S_IFREG || format == unix.S_IFDIR) && o.stat.Nlink > 0
}

// file is what a restart finds the file by.
func (o *open) file(path string) image.File {
	return image.File{
		Path:    path,
		Device:  o.stat.Dev,
		Inode:   o.stat.Ino,
		Mode:    o.stat.Mode,
		UID:     o.stat.Uid,
		Size:    o.stat.Size,
		MtimeNs: o.stat.Mtim.Nano(),
	}
}

// deletedMark is what the kernel appends to the path of a file that has been unlinked.
const deletedMark = " (deleted)"

// whereabouts says what is at the path of an open file now.
type whereabouts int

const (
	there   whereabouts = iota // the file that is open
	deleted                    // unlinked: the path's last name is gone
	hidden                     // another file is there, or none: a mount hides the file, or it was moved
)

// where is the path of an open file, without the kernel's mark, and what is there now. The name of a file can itself
// end in " (deleted)", so the unchanged path is tried first.
func (o *open) where() (string, whereabouts) { return o.whereIf(o.isAt) }

func (o *open) whereIf(isAt func(path string) bool) (string, whereabouts) {
	if isAt(o.link) {
		return o.link, there
	}
	if path, marked := strings.CutSuffix(o.link, deletedMark); marked {
		return path, deleted
	}
	return o.link, hidden
}

// proc is the directory in /proc of the member that has the description, or that has the socket in whose queue the description is.
func (o *open) proc() string {
	for o.within != nil {
		o = o.within
	}
	return o.member.Proc
}

// isAt tells whether the file is at a path, as the process sees it with its own mounts and root directory.
func (o *open) isAt(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(o.proc()+"/root"+path, &st) == nil && st.Ino == o.stat.Ino && st.Dev == o.stat.Dev
}

// hiddenObstacle is the obstacle for a file that is not at its path.
func (o *open) hiddenObstacle() obstacle.Obstacle {
	var st unix.Stat_t
	if err := unix.Lstat(o.member.Proc+"/root"+o.link, &st); err == unix.EACCES {
		return obstacle.Obstacle{
			What: o.link,
			Why:  "the user who makes the checkpoint may not search a directory of its path",
			Do:   "give that user access to the directories, or close the file before the checkpoint",
		}
	}
	return obstacle.Obstacle{
		What: o.link,
		Why:  "another file, or none, is at this path",
		Do:   "undo the mount that hides it, or close the file before the checkpoint",
	}
}

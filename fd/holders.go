package fd

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// Holders tells which processes have pipes, terminals or message queues open. It sees only processes that the caller may read (proc(5),
// /proc/PID/fd). A search through all processes takes long, so the survey makes it before the program is frozen. The
// zero value is ready. Several members may search concurrently.
type Holders struct {
	mu    sync.Mutex
	known map[string]bool         // links ("pipe:[12]") that have been searched for
	found map[string][]pipeHolder // by link

	watched map[Inode]string // paths of files that inotify instances watch
}

// watchedPaths are the paths of watched files that were found earlier. The caller adds to them.
func (h *Holders) watchedPaths() map[Inode]string {
	if h == nil {
		return make(map[Inode]string)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watched == nil {
		h.watched = make(map[Inode]string)
	}
	return h.watched
}

// A pipeHolder is a process that has an end of a pipe open.
type pipeHolder struct {
	pid         int
	read, write bool
}

// of lists the processes that have pipes with these links open, except those in except. It searches all processes only
// for links that it does not know yet. Processes that were found earlier are looked at again: a child that had the pipe
// at that time may have ended.
func (h *Holders) of(links []string, except map[int]bool) map[string][]pipeHolder {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known, h.found = make(map[string]bool), make(map[string][]pipeHolder)
	}
	wanted, again := make(map[string]bool), make(map[string]bool)
	earlier := make(map[int]bool)
	for _, link := range links {
		if !h.known[link] {
			h.known[link], wanted[link] = true, true
			continue
		}
		again[link] = true
		for _, o := range h.found[link] {
			earlier[o.pid] = !except[o.pid]
		}
		delete(h.found, link)
	}
	for pid, outside := range earlier {
		if outside {
			h.look(pid, again)
		}
	}
	if len(wanted) > 0 {
		h.search(wanted)
	}
	others := make(map[string][]pipeHolder)
	for _, link := range links {
		others[link] = slices.DeleteFunc(slices.Clone(h.found[link]), func(o pipeHolder) bool { return except[o.pid] })
	}
	return others
}

// ofOne is of for one link. It searches all processes if there are no Holders.
func (h *Holders) ofOne(link string, except map[int]bool) []pipeHolder {
	return cmp.Or(h, new(Holders)).of([]string{link}, except)[link]
}

// search looks through all processes except the writer itself, which has handles of everything.
func (h *Holders) search(wanted map[string]bool) {
	pids, err := proc.Pids()
	if err != nil {
		return
	}
	for _, pid := range pids {
		if pid != os.Getpid() {
			h.look(pid, wanted)
		}
	}
}

func (h *Holders) look(pid int, wanted map[string]bool) {
	fds, err := proc.Fds(pid)
	if err != nil {
		return // it has ended, or belongs to another user
	}
	var buffer [256]byte
	for _, fd := range fds {
		name := proc.Path(pid, "fd/"+strconv.Itoa(fd))
		n, err := unix.Readlink(name, buffer[:])
		if err != nil || !wanted[string(buffer[:n])] {
			continue
		}
		info, err := proc.Read(pid, "fdinfo/"+strconv.Itoa(fd), proc.Fdinfo)
		if err != nil || info.Flags&unix.O_PATH != 0 {
			continue
		}
		mode := info.Flags & unix.O_ACCMODE
		link := string(buffer[:n])
		h.found[link] = append(h.found[link], pipeHolder{pid: pid, read: mode != unix.O_WRONLY, write: mode != unix.O_RDONLY})
	}
}

// processName is the PID and the name of a process: pid 412 ("bash").
func processName(pid int) string {
	comm, err := proc.ReadFile(proc.Path(pid, "comm"))
	if err != nil {
		return "pid " + strconv.Itoa(pid)
	}
	return "pid " + strconv.Itoa(pid) + " (" + strconv.Quote(strings.TrimSpace(string(comm))) + ")"
}

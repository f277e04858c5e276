package fd

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/retry"
)

// watched is a file that an inotify instance watches. The kernel shows the inode of the file, and not its path. Any path of the file
// will do, because a watch belongs to the inode.
type watched struct {
	number int32
	mask   uint32
	inode  uint64
	device uint64

	file    *image.File // nil: it was not found
	through *open       // a description of the group, if the file has no name
}

// searchMost bounds how many names of directories are read in a search.
const searchMost = 50_000

// findWatched finds the files of watches. First it looks where a program most likely has the name from: its descriptors, its working
// directory, and its arguments. Then it searches the directories below and above these. Paths that it has found before the freeze it
// tries first under freeze.
func (c *capture) findWatched(o *open, all []*watched) {
	s := &search{root: o.proc() + "/root", known: o.member.Holders.watchedPaths(), missing: make(map[uint64][]*watched)}
	for _, w := range all {
		s.missing[w.inode] = append(s.missing[w.inode], w)
		if path := s.known[Inode{w.device, w.inode}]; path != "" {
			s.try(path)
		}
	}
	places := c.places(o)
	for _, d := range c.members {
		for _, slot := range d.all {
			if len(s.missing) == 0 {
				return
			}
			s.open(slot.of)
		}
	}
	for _, path := range places {
		s.try(path)
	}
	s.walk(places)
}

// longestArguments bounds what is read of a program's arguments.
const longestArguments = 1 << 20

// places are where a program may have the names of files from, the most likely ones first.
func (c *capture) places(o *open) (all []string) {
	for _, h := range o.holders {
		dir := h.of.member.Proc
		cwd, _ := os.Readlink(dir + "/cwd")
		all = append(all, cwd)
		text, _ := proc.ReadStart(dir+"/cmdline", longestArguments)
		for _, word := range strings.Split(string(text), "\x00") {
			switch {
			case strings.HasPrefix(word, "/"):
				all = append(all, word)
			case word != "" && cwd != "":
				all = append(all, filepath.Join(cwd, word))
			}
		}
		for _, slot := range h.of.all {
			if slot.of.hasPath() {
				all = append(all, slot.of.link, filepath.Dir(slot.of.link))
			}
		}
	}
	return all
}

// A search looks for the paths of files of which it knows the inode.
type search struct {
	root    string // of the program, in /proc
	known   map[Inode]string
	missing map[uint64][]*watched // by inode number
	read    int
}

// found records a file, if it is a missing one. path is "" if the file has no name.
func (s *search) found(st *unix.Stat_t, path string, o *open) {
	rest := s.missing[st.Ino]
	for i := 0; i < len(rest); {
		w := rest[i]
		if w.device != st.Dev {
			i++
			continue
		}
		if path != "" {
			w.file = &image.File{Path: path, Device: st.Dev, Inode: st.Ino, Mode: st.Mode}
			s.known[Inode{st.Dev, st.Ino}] = path
		} else {
			w.through = o
		}
		rest = append(rest[:i], rest[i+1:]...)
	}
	if s.missing[st.Ino] = rest; len(rest) == 0 {
		delete(s.missing, st.Ino)
	}
}

// try looks at a path as the program sees it.
func (s *search) try(path string) {
	var st unix.Stat_t
	if unix.Lstat(s.root+path, &st) == nil && s.missing[st.Ino] != nil {
		s.found(&st, path, nil)
	}
}

// open looks at a description of the group.
func (s *search) open(o *open) {
	if s.missing[o.stat.Ino] == nil || !o.hasPath() {
		return
	}
	path, where := o.where()
	switch {
	case where == there:
		s.found(&o.stat, path, nil)
	case where == deleted && o.format() == unix.S_IFREG && o.stat.Nlink == 0:
		s.found(&o.stat, "", o)
	}
}

// walk searches the given directories and all directories below them, breadth first, and also the directories above them. If the program
// watches one of these directories, it gets events of the search, as it does when any other process lists the directory.
func (s *search) walk(places []string) {
	queue := append([]string(nil), places...)
	for _, path := range places {
		for path != "/" && path != "." && path != "" {
			path = filepath.Dir(path)
			queue = append(queue, path)
		}
	}
	seen := make(map[string]bool)
	for len(queue) > 0 && len(s.missing) > 0 && s.read < searchMost {
		path := queue[0]
		queue = queue[1:]
		if !seen[path] {
			seen[path] = true
			s.try(path) // the entry of a mount point has another inode number
			queue = append(queue, s.list(path)...)
		}
	}
}

// list reads a directory, looks at the files whose inode number is missing, and returns the directories in it.
func (s *search) list(path string) (below []string) {
	dir, err := retry.Open(s.root+path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOATIME, 0)
	if err == unix.EPERM {
		dir, err = retry.Open(s.root+path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	var st unix.Statfs_t
	if unix.Fstatfs(dir, &st) != nil || specialFilesystems[int64(st.Type)] != "" {
		return nil
	}
	buffer := make([]byte, 32<<10)
	for s.read < searchMost {
		n, err := unix.Getdents(dir, buffer)
		if err != nil || n <= 0 {
			break
		}
		for rest := buffer[:n]; len(rest) >= direntName; s.read++ {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			inode, kind := binary.NativeEndian.Uint64(rest), rest[18]
			name := unix.ByteSliceToString(rest[direntName:size])
			rest = rest[size:]
			if name == "." || name == ".." {
				continue
			}
			if s.missing[inode] != nil {
				s.try(filepath.Join(path, name))
			}
			if kind == unix.DT_DIR {
				below = append(below, filepath.Join(path, name))
			}
		}
	}
	return below
}

const direntName = 19 // offset of d_name in struct linux_dirent64

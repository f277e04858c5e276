package fd

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

// searchedMost bounds the entries of directories that are read to find the other name of a file. The program is frozen meanwhile.
const searchedMost = 1 << 18

// OtherName looks for a name of a file in a directory. at is how the caller reaches the directory. For example, sem_open(3) creates a
// semaphore under a temporary name, links it to its final name, and removes the temporary one.
func OtherName(at string, inode uint64, is func(*unix.Stat_t) bool) (name string, found *unix.Stat_t) {
	dir, err := retry.Open(at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil
	}
	defer unix.Close(dir)
	buffer := make([]byte, 32768)
	for left := searchedMost; left > 0; {
		n, err := unix.Getdents(dir, buffer)
		if err != nil || n <= 0 {
			return "", nil
		}
		for entries := buffer[:n]; len(entries) > 0; left-- {
			entry, name, rest := direntOf(entries)
			entries = rest
			if entry != inode {
				continue
			}
			var st unix.Stat_t
			if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && is(&st) {
				return name, &st
			}
		}
	}
	return "", nil
}

// direntOf decodes the first struct linux_dirent64 (getdents(2)) and returns the remaining bytes.
func direntOf(b []byte) (inode uint64, name string, rest []byte) {
	const nameAt = 19
	length := binary.NativeEndian.Uint16(b[16:])
	text, _, _ := bytes.Cut(b[nameAt:length], []byte{0})
	return binary.NativeEndian.Uint64(b), string(text), b[length:]
}

// otherName looks for another name of a file that was deleted under a path: in the directory of this path, in the working directories
// of the group, and in the directories that it has open.
func (c *capture) otherName(o *open, path string) string {
	is := func(st *unix.Stat_t) bool { return st.Ino == o.stat.Ino && st.Dev == o.stat.Dev }
	dir := filepath.Dir(path)
	if name, _ := OtherName(o.proc()+"/root"+dir, o.stat.Ino, is); name != "" {
		return filepath.Join(dir, name)
	}
	for _, at := range c.openDirectories() {
		name, _ := OtherName(at, o.stat.Ino, is)
		if name == "" {
			continue
		}
		if dir, err := os.Readlink(at); err == nil && o.isAt(filepath.Join(dir, name)) {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

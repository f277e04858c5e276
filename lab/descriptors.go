package lab

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func descriptors(dir string) (map[string]any, error) {
	targets, err := links(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	for fd, target := range targets {
		data, err := os.ReadFile(filepath.Join(dir, "fdinfo", fd))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed since
		}
		if err != nil {
			return nil, err
		}
		info := keyed(data)
		info["target"] = target
		if locks := locks(data); locks != "" {
			info["lock"] = locks
		}
		if targets := epollTargets(data); targets != "" {
			info["tfd"] = targets
		}
		delete(info, "eventfd-id") // the kernel counts all eventfds
		all[fd] = info
	}
	return all, nil
}

// locks lists the `lock:` lines of a descriptor, each without its number and its owner's PID:
// `1: POSIX  ADVISORY  WRITE 412 fe:00:135 0 9`.
func locks(fdinfo []byte) string {
	var all []string
	for line := range bytes.Lines(fdinfo) {
		if fields := strings.Fields(string(line)); len(fields) == 9 && fields[0] == "lock:" {
			all = append(all, strings.Join(append(fields[2:5], fields[7:]...), " "))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// epollTargets lists the `tfd:` lines of an epoll instance, each without its inode number:
// `tfd:        5 events:       19 data:               7f  pos:0 ino:62d8 sdev:f`.
func epollTargets(fdinfo []byte) string {
	var all []string
	for line := range bytes.Lines(fdinfo) {
		if fields := strings.Fields(string(line)); len(fields) > 5 && fields[0] == "tfd:" {
			all = append(all, strings.Join(fields[1:6], " "))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

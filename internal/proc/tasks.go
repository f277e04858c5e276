package proc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Path is /proc/PID/name; pid 0 stands for the reader itself.
func Path(pid int, name string) string {
	who := "self"
	if pid != 0 {
		who = strconv.Itoa(pid)
	}
	return filepath.Join("/proc", who, name)
}

// Read parses the file /proc/PID/name. The error of a parser gets the path in front.
func Read[T any](pid int, name string, parse func(io.Reader) (T, error)) (T, error) {
	f, err := os.Open(Path(pid, name))
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	v, err := parse(f)
	if err != nil {
		return v, fmt.Errorf("%s: %w", filepath.Dir(f.Name()), err)
	}
	return v, nil
}

// Tasks lists the TIDs of a process, in order. A thread that exits meanwhile may be in it.
func Tasks(pid int) ([]int, error) { return numbers(Path(pid, "task")) }

// Fds lists the descriptors of a process, in order.
func Fds(pid int) ([]int, error) { return numbers(Path(pid, "fd")) }

// Pids lists the processes of the reader's PID namespace, in order.
func Pids() ([]int, error) { return numbers("/proc") }

// numbers lists the entries of a directory whose names are numbers.
func numbers(dir string) ([]int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// found lists the live processes that belong to this script. Processes that start, crak or run have started have the script's token in
// their environment. The writer that a program starts does not have it. found recognizes it by its working directory, which is below
// the script's.
func (s *session) found() ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ")) // a process whose environment cannot be read is not of this script
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if hasEntry(environ, s.token) || strings.HasPrefix(cwd+"/", s.work+"/") {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func hasEntry(environ []byte, entry string) bool {
	for _, e := range bytes.Split(environ, []byte{0}) {
		if string(e) == entry {
			return true
		}
	}
	return false
}

// strays lists the processes of this script that should not exist: all except the members of running subjects, their runners (such as
// crak restart), and the descendants of these.
func (s *session) strays() ([]int, error) {
	all, err := s.found()
	if err != nil {
		return nil, err
	}
	known := map[int]bool{}
	for _, p := range s.subjects {
		if p.pidfd >= 0 {
			known[p.pid] = true
			known[p.runner.Process.Pid] = true
			members, err := p.members()
			if err != nil {
				return nil, err
			}
			for _, pid := range members {
				known[pid] = true
			}
		}
	}
	var strays []int
	for _, pid := range all {
		if !descends(pid, known) {
			strays = append(strays, pid)
		}
	}
	return strays, nil
}

// descends reports whether pid or one of its ancestors is known.
func descends(pid int, known map[int]bool) bool {
	for range 100 {
		if known[pid] {
			return true
		}
		fields, err := stat(filepath.Join("/proc", strconv.Itoa(pid)))
		if err != nil {
			return true // it has ended
		}
		parent, err := strconv.Atoi(fmt.Sprint(fields["ppid"]))
		if err != nil || parent <= 1 {
			return false
		}
		pid = parent
	}
	return false
}

// sweep waits for the processes that the script has left behind. It kills and reports those that do not end in time.
func (s *session) sweep() error {
	strays, err := s.settled(3 * time.Second)
	if err != nil || len(strays) == 0 {
		return err
	}
	said := describe(strays)
	for _, pid := range strays {
		_ = unix.Kill(pid, unix.SIGKILL) // it may just have ended
	}
	return fmt.Errorf("left behind by the script, and killed: %s", said)
}

// settled waits for strays to end, and returns those that do not.
func (s *session) settled(bound time.Duration) ([]int, error) {
	deadline := time.Now().Add(bound)
	for {
		strays, err := s.strays()
		if err != nil || len(strays) == 0 {
			return nil, err
		}
		fd, err := unix.PidfdOpen(strays[0], 0)
		if err != nil {
			continue // it has ended
		}
		err = awaitExit(fd, time.Until(deadline))
		unix.Close(fd)
		if err != nil {
			return s.strays()
		}
	}
}

// describe names processes by PID and command line.
func describe(pids []int) string {
	var lines []string
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		line, _ := text(dir, "cmdline") // it may just have ended
		lines = append(lines, fmt.Sprintf("pid %d: %q", pid, line))
	}
	return strings.Join(lines, ", ")
}

// cmdStrays fails if there is a process that belongs to no running program.
func cmdStrays(s *session, _ *call) error {
	strays, err := s.settled(2 * time.Second)
	if err == nil && len(strays) > 0 {
		err = fmt.Errorf("strays: %s", describe(strays))
	}
	return err
}

package lab

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A program handles an order in less time than disturbance. On a busy machine one picture may take longer, so undisturbed takes several.
const (
	disturbance = time.Second
	attempts    = 10
)

// undisturbed makes a picture of a process at a moment at which it handles no order of crak's. A crak ps of another test sends an order
// to each program of the user. The handler blocks all signals, and has a socket until it returns.
func undisturbed(pid int) (Picture, error) {
	deadline := time.Now().Add(disturbance)
	for n := 1; ; n++ {
		open, _ := links(fmt.Sprintf("/proc/%d/fd", pid)) // nothing, if it may not be read
		before, err := parked(pid)
		if err != nil {
			return nil, err
		}
		p, err := Take(pid)
		if err != nil {
			return nil, err
		}
		if !before && !p.parked() && p.hasDescriptors(open) || n >= attempts && time.Now().After(deadline) {
			return p, nil
		}
		time.Sleep(time.Millisecond) // /proc has no event for the end of a handler
	}
}

// hasDescriptors reports whether the picture shows these descriptors and no others.
func (p Picture) hasDescriptors(open map[string]any) bool {
	shown, _ := p["descriptors"].(map[string]any)
	return maps.EqualFunc(shown, open, func(_, _ any) bool { return true })
}

// parked reports whether the picture shows a thread in the resident's signal handler.
func (p Picture) parked() bool {
	status, _ := p["status"].(map[string]any)
	stat, _ := p["stat"].(map[string]any)
	mask, _ := strconv.ParseUint(fmt.Sprint(status["SigBlk"]), 16, 64)
	if low := fmt.Sprint(mask & (1<<31 - 1)); stat["blocked"] != nil && stat["blocked"] != low {
		return true // the handler began or ended between the two files
	}
	threads, _ := p["threads"].(map[string]any)
	return inHandler(status) || slices.ContainsFunc(slices.Collect(maps.Values(threads)), func(thread any) bool {
		fields, _ := thread.(map[string]any)
		status, _ := fields["status"].(map[string]any)
		return inHandler(status)
	})
}

// parked reports whether a thread of a process is in the resident's signal handler.
func parked(pid int) (bool, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return false, err
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && inHandler(keyed(data)) { // otherwise the thread has ended
			return true, nil
		}
	}
	return false, nil
}

// inHandler reports whether the status of a thread shows that it is in the resident's signal handler. In the handler all signals are
// blocked, signal 32 among them, which a program cannot block through the C library. A stopped process may stay in it.
func inHandler(status map[string]any) bool {
	const private = 1 << (32 - 1) // signal 32
	state, _ := status["State"].(string)
	mask, _ := status["SigBlk"].(string)
	blocked, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && blocked&private != 0 && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "T")
}

package lab

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The lab reads /proc with parsers of its own. If it used crak's, a mistake in them would hide a mistake of crak.

// picture takes a picture of the program with all its processes.
func (p *subject) picture() (Group, error) {
	if p.pidfd < 0 {
		return nil, fmt.Errorf("%s: not running", p.name)
	}
	p.settled()
	pids, err := p.members()
	if err != nil {
		return nil, err
	}
	group, err := TakeGroup(p.pid, pids)
	if err != nil {
		return nil, p.postmortem(fmt.Errorf("%s: %w", p.name, err))
	}
	return group, nil
}

// settled waits until the program's write(2) of the text that await has matched last has returned. The kernel first changes the file
// and then the position of the description (ksys_write in fs/read_write.c). On a busy machine the program may be paused between the
// two. After a restart the position may be before what the program has written, so settled does not wait then.
func (p *subject) settled() {
	if p.image != "" {
		return
	}
	for deadline := time.Now().Add(p.session.lab.params.Bound); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", p.pid)); target != p.output.path {
			return
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/1", p.pid))
		if err != nil {
			return
		}
		text, _ := keyed(info)["pos"].(string)
		if at, err := strconv.Atoi(text); err != nil || at >= p.output.mark {
			return
		}
	}
}

// Take makes a picture of a process. It leaves out what the caller may not read.
func Take(pid int) (Picture, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return nil, err
	}
	p := Picture{"status": withoutOrders(keyed(status))}
	for _, link := range []string{"exe", "cwd", "root"} {
		p.put(link)(os.Readlink(filepath.Join(dir, link)))
	}
	for _, file := range []string{
		"comm", "personality", "oom_score_adj", "coredump_filter", "cgroup", "loginuid", "sessionid", "autogroup",
	} {
		p.put(file)(text(dir, file))
	}
	p.put("cmdline")(text(dir, "cmdline"))
	p.put("environ")(digest(dir, "environ"))
	p.put("auxv")(digest(dir, "auxv"))
	p.tree("stat")(stat(dir))
	p.tree("limits")(limits(dir))
	p.tree("timers")(timers(dir))
	p.tree("namespaces")(links(filepath.Join(dir, "ns")))
	p.tree("mappings")(mappings(dir))
	p.tree("descriptors")(descriptors(dir))
	threads, err := threads(dir, pid)
	if err != nil {
		return nil, err
	}
	p["threads"] = threads
	leaveOutMask(p)
	return p, nil
}

// withoutOrders removes the freeze signal (33) from the pending signals of a thread. A crak ps of another script sends it to each program of
// the user, and the picture may be taken before the program has handled it.
func withoutOrders(status map[string]any) map[string]any {
	text, _ := status["SigPnd"].(string)
	if pending, err := strconv.ParseUint(text, 16, 64); err == nil {
		status["SigPnd"] = fmt.Sprintf("%016x", pending&^(1<<(33-1)))
	}
	return status
}

// leaveOutMask removes the signal mask of a main thread that has ended. The mask has no effect any more, and a checkpoint
// cannot find out what it was.
func leaveOutMask(p Picture) {
	status, _ := p["status"].(map[string]any)
	if state, _ := status["State"].(string); !strings.HasPrefix(state, "Z") {
		return
	}
	delete(status, "SigBlk")
	if stat, ok := p["stat"].(map[string]any); ok {
		delete(stat, "blocked")
	}
}

// put and tree add a field, unless the file of the field could not be read.
func (p Picture) put(name string) func(string, error) {
	return func(text string, err error) {
		if err == nil {
			p[name] = text
		}
	}
}

func (p Picture) tree(name string) func(map[string]any, error) {
	return func(tree map[string]any, err error) {
		if err == nil {
			p[name] = tree
		}
	}
}

func text(dir, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimRight(strings.ReplaceAll(string(data), "\x00", " "), "\n "), err
}

// digest is a hash of a file. It stands for content that is secret or long.
func digest(dir, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	return fmt.Sprintf("%d bytes %x", len(data), sha256.Sum256(data)), err
}

// keyed parses lines of `Name: value`.
func keyed(data []byte) map[string]any {
	fields := map[string]any{}
	for line := range bytes.Lines(data) {
		if name, value, ok := strings.Cut(string(line), ":"); ok {
			fields[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	return fields
}

// statNames are the fields of proc_pid_stat(5) from the third on.
var statNames = strings.Fields(`state ppid pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt utime stime
	cutime cstime priority nice num_threads itrealvalue starttime vsize rss rsslim startcode endcode startstack
	kstkesp kstkeip signal blocked sigignore sigcatch wchan nswap cnswap exit_signal processor rt_priority policy
	blkio guest_time cguest_time start_data end_data start_brk arg_start arg_end env_start env_end exit_code`)

func stat(dir string) (map[string]any, error) {
	line, err := text(dir, "stat")
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	values := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	for i, name := range statNames[:min(len(statNames), len(values))] {
		fields[name] = values[i]
	}
	return fields, nil
}

func limits(dir string) (map[string]any, error) {
	table, err := text(dir, "limits")
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	for i, line := range strings.Split(table, "\n") {
		if i > 0 && len(line) > 26 {
			fields[strings.TrimSpace(line[:26])] = strings.Join(strings.Fields(line[26:]), " ")
		}
	}
	return fields, nil
}

// timers parses /proc/PID/timers: blocks that begin with `ID: n`.
func timers(dir string) (map[string]any, error) {
	all, err := text(dir, "timers")
	if err != nil {
		return nil, err
	}
	blocks := map[string]any{}
	for _, block := range strings.Split("\n"+all, "\nID: ")[1:] {
		id, rest, _ := strings.Cut(block, "\n")
		timer := keyed([]byte(rest))
		// The thread's number is that in the reader's PID namespace.
		if notify, ok := timer["notify"].(string); ok {
			timer["notify"], _, _ = strings.Cut(notify, ".")
		}
		blocks[id] = timer
	}
	return blocks, nil
}

func links(dir string) (map[string]any, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	targets := map[string]any{}
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			targets[entry.Name()] = target
		}
	}
	return targets, nil
}

func threads(dir string, pid int) (map[string]any, error) {
	tasks, err := os.ReadDir(filepath.Join(dir, "task"))
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	for _, task := range tasks {
		taskDir := filepath.Join(dir, "task", task.Name())
		status, err := os.ReadFile(filepath.Join(taskDir, "status"))
		if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) {
			continue // ended since
		}
		if err != nil {
			return nil, err
		}
		thread := Picture{"status": keyed(status)}
		for _, file := range []string{"comm", "wchan", "syscall"} {
			thread.put(file)(text(taskDir, file))
		}
		thread.put("timer_slack")(text(filepath.Join("/proc", task.Name()), "timerslack_ns"))
		thread.tree("stat")(stat(taskDir))
		schedule(thread, task.Name())
		leaveOutMask(thread)
		all[innermost(status, task.Name())] = map[string]any(thread)
	}
	return all, nil
}

// innermost is a thread's ID in the program's own PID namespace.
func innermost(status []byte, name string) string {
	ids, _ := keyed(status)["NSpid"].(string)
	if fields := strings.Fields(ids); len(fields) > 0 {
		return fields[len(fields)-1]
	}
	return name
}

// schedule adds policy, priority and affinity, which only system calls give.
func schedule(thread Picture, name string) {
	tid, err := strconv.Atoi(name)
	if err != nil {
		return
	}
	if attr, err := unix.SchedGetAttr(tid, 0); err == nil {
		thread["policy"] = fmt.Sprintf("policy %d nice %d priority %d flags %#x", attr.Policy, attr.Nice, attr.Priority, attr.Flags)
	}
	var set unix.CPUSet
	if unix.SchedGetaffinity(tid, &set) == nil {
		thread["affinity"] = fmt.Sprintf("%x", set)
	}
}

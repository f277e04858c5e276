package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// A Picture is everything that /proc shows of a process, as a tree of names. Its leaves are strings. The name of a field is its path
// with dots, such as status.Uid or threads.412.comm.
//
//	pid exe cwd root cmdline environ auxv comm personality oom_score_adj timers …
//	status.*  stat.*  limits.*  namespaces.*
//	mappings.START-END.{perms,offset,path,flags}
//	descriptors.FD.{target,pos,flags,…}
//	threads.TID.{comm,policy,affinity,syscall,wchan,timer_slack,status.*,stat.*}
type Picture map[string]any

// volatile lists the fields that may differ between two pictures of one member: times and counters, the parent and the
// terminal, and what the kernel numbers anew. A name that ends in .* means all fields below it. A * in the middle means
// any one name.
var volatile = []string{
	// Time that passes, and work that is counted.
	"stat.minflt", "stat.majflt", "stat.cminflt", "stat.cmajflt", "stat.utime", "stat.stime",
	"stat.cutime", "stat.cstime", "stat.starttime", "stat.blkio", "stat.guest_time", "stat.cguest_time",
	"stat.processor", "stat.state", "stat.kstkesp", "stat.kstkeip", "stat.wchan",
	"threads.*.stat.*", "status.voluntary_ctxt_switches", "status.nonvoluntary_ctxt_switches",
	"threads.*.status.voluntary_ctxt_switches", "threads.*.status.nonvoluntary_ctxt_switches",
	"threads.*.wchan", "threads.*.syscall", "threads.*.state", "timers.*.expires",
	"status.State", "threads.*.status.State", "status.SigQ", "threads.*.status.SigQ",
	"threads.*.status.SigPnd", // of a timer that fires all the time
	"status.FDSize", "threads.*.status.FDSize",
	// Memory in use: pages come back when they are needed.
	"stat.rss", "status.VmRSS", "status.RssAnon", "status.RssFile", "status.RssShmem", "status.VmHWM",
	"status.VmPTE", "status.VmPeak", "status.VmSwap", "status.HugetlbPages",
	"status.VmSize", "status.VmStk", "stat.vsize", // the stack grows
	"threads.*.status.Vm*", "threads.*.status.Rss*", "threads.*.status.HugetlbPages",
	// The root's parent, terminal and job are crak restart's. The fields parent, group, session, terminal and exit_signal say
	// what must be the same.
	"stat.ppid", "stat.pgrp", "stat.session", "stat.tty_nr", "stat.tpgid", "stat.exit_signal", "stat.flags",
	"status.PPid", "status.NSpgid", "status.NSsid", "threads.*.status.PPid", "threads.*.status.NSpgid",
	"threads.*.status.NSsid", "cgroup", "sessionid", "loginuid", "autogroup",
	// A restart in a new user and PID namespace changes these.
	"status.NSpid", "status.NStgid", "status.Tgid", "status.Pid", "status.Ngid",
	"threads.*.status.NSpid", "threads.*.status.NStgid", "threads.*.status.Tgid", "threads.*.status.Pid",
	"threads.*.status.Ngid", "stat.pid", "namespaces.*", "descriptors.*.mnt_id", "descriptors.*.ino",
	// These depend on the machine.
	"status.Cpus_allowed", "status.Mems_allowed", "status.Mems_allowed_list",
	"threads.*.status.Mems_allowed", "threads.*.status.Mems_allowed_list",
	"threads.*.status.x86_Thread_features", "status.x86_Thread_features",
}

// compare returns the differences between two pictures, or an empty text. The fields in except are ignored, in every member.
func compare(before, after Group, except []string) string {
	one, other := leaves(before, except), leaves(after, except)
	leaveOutUnreadable(one, other)
	leaveOutUnreadable(other, one)
	return cmp.Diff(one, other)
}

// leaveOutUnreadable removes fields that could be read for only one of two pictures. An example is the timer slack: to read
// that of another process takes CAP_SYS_NICE in its user namespace, which an ordinary user has only in a new one.
func leaveOutUnreadable(all, other map[string]string) {
	maps.DeleteFunc(all, func(name, _ string) bool {
		_, ok := other[name]
		return !ok && strings.HasSuffix(name, ".timer_slack")
	})
}

// leaves maps the full name of each field of each member, PID.FIELD, to its value, without the exceptions.
func leaves(g Group, except []string) map[string]string {
	all := map[string]string{}
	for pid, p := range g {
		fields := map[string]string{}
		flatten("", map[string]any(p), fields)
		for name, value := range fields {
			if !slices.ContainsFunc(except, func(pattern string) bool { return matches(pattern, name) }) {
				all[pid+"."+name] = value
			}
		}
	}
	return all
}

func flatten(prefix string, tree map[string]any, all map[string]string) {
	for name, v := range tree {
		switch v := v.(type) {
		case map[string]any:
			flatten(prefix+name+".", v, all)
		default:
			all[prefix+name] = fmt.Sprint(v)
		}
	}
}

// matches reports whether a field's name matches a pattern of volatile.
func matches(pattern, name string) bool {
	for pattern != "" {
		part, rest, _ := strings.Cut(pattern, ".")
		if part == "*" && rest == "" {
			return name != ""
		}
		var field string
		field, name, _ = strings.Cut(name, ".")
		start, star := strings.CutSuffix(part, "*")
		if field != part && !(star && strings.HasPrefix(field, start)) {
			return false
		}
		pattern = rest
	}
	return name == ""
}

// write and readPicture keep a picture in a JSON file.
func (g Group) write(path string) error {
	data, err := json.MarshalIndent(g, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func readPicture(path string) (Group, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g Group
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

func cmdObserve(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	picture, err := p.picture()
	if err != nil {
		return err
	}
	return picture.write(c.ts.MkAbs(c.args[1]))
}

func cmdSame(_ *session, c *call) error {
	before, err := readPicture(c.ts.MkAbs(c.args[0]))
	if err != nil {
		return err
	}
	after, err := readPicture(c.ts.MkAbs(c.args[1]))
	if err != nil {
		return err
	}
	var except []string
	if !c.on("strict") {
		except = slices.Clone(volatile)
	}
	if more := c.text("except"); more != "" {
		except = append(except, strings.Split(more, ",")...)
	}
	if diff := compare(before, after, except); diff != "" {
		return fmt.Errorf("%s and %s differ (-first +second):\n%s", c.args[0], c.args[1], diff)
	}
	return nil
}

package proc

import (
	"errors"
	"io"
	"strings"
)

// StatusInfo is /proc/PID/status, or of one thread /proc/PID/task/TID/status.
type StatusInfo struct {
	Name      string // comm
	State     byte   // 'R', 'S', 'D', 'T', 't', 'Z', 'X', 'I'
	Umask     uint32
	Tgid      int
	Pid       int // of a thread: its TID
	PPid      int
	TracerPid int
	NSpid     []int     // in each PID namespace, from the reader's to its own; nil before Linux 4.1
	NSpgid    []int     // the process group's ID, likewise; 0 where it has none
	NSsid     []int     // the session's ID, likewise
	Uid       [4]uint32 // real, effective, saved, file system
	Gid       [4]uint32
	Groups    []uint32

	VmLck  uint64 // bytes
	VmPin  uint64 // bytes
	VmHWM  uint64 // bytes: the most VmRSS ever was
	VmRSS  uint64 // bytes
	VmPTE  uint64 // bytes: page tables
	VmSwap uint64 // bytes

	RssAnon uint64 // bytes: the private part of VmRSS (Linux 4.5)

	Threads  int
	SigQ     uint64 // signals queued for the real user
	SigLimit uint64 // RLIMIT_SIGPENDING
	SigPnd   uint64 // pending for the thread
	ShdPnd   uint64 // pending for the process
	SigBlk   uint64
	SigIgn   uint64
	SigCgt   uint64

	CapInh     uint64
	CapPrm     uint64
	CapEff     uint64
	CapBnd     uint64
	CapAmb     uint64
	NoNewPrivs bool
	Seccomp    int // 0: off, 1: strict, 2: filter

	StoreBypass    string // speculation control: "thread mitigated" (Linux 4.17)
	IndirectBranch string // speculation control: "conditional disabled" (Linux 5.11)
	ThreadFeatures string // shadow stacks: "shstk wrss" (x86, Linux 6.6)
	UntagMask      uint64 // address bits that the processor does not ignore (x86, Linux 6.4); 0 without such a line

	VoluntarySwitches   uint64
	InvoluntarySwitches uint64
}

// Innermost is an ID in the process's own PID namespace. ids has the ID in each PID namespace (NSpid, NSpgid, NSsid). Before Linux 4.1 it
// is empty: then the result is the ID in the reader's PID namespace.
func Innermost(ids []int, reader int) int {
	if n := len(ids); n > 0 {
		return ids[n-1]
	}
	return reader
}

// Status parses /proc/PID/status. It returns an error if State, Tgid or Pid is missing.
func Status(r io.Reader) (StatusInfo, error) {
	var s StatusInfo
	l := newLines(r, "status")
	for l.next() {
		key, value, ok := strings.Cut(l.text, ":")
		if !ok {
			return s, l.bad("no colon")
		}
		f := fields{l: l}
		s.set(&f, key, strings.TrimPrefix(value, "\t"))
		if f.err != nil {
			return s, f.err
		}
	}
	if l.err != nil {
		return s, l.err
	}
	if s.State == 0 || s.Tgid == 0 || s.Pid == 0 {
		return s, errors.New("status: State, Tgid or Pid is missing")
	}
	return s, nil
}

func (s *StatusInfo) set(f *fields, key, value string) {
	switch key {
	case "Name":
		s.Name = unescapeComm(value)
	case "State":
		if value == "" {
			f.fail("state")
			return
		}
		s.State = value[0]
	case "Umask":
		s.Umask = f.uint32("umask", value, 8)
	case "Tgid":
		s.Tgid = f.int("pid", value)
	case "Pid":
		s.Pid = f.int("pid", value)
	case "PPid":
		s.PPid = f.int("pid", value)
	case "TracerPid":
		s.TracerPid = f.int("pid", value)
	case "NSpid":
		s.NSpid = pids(f, value)
	case "NSpgid":
		s.NSpgid = pids(f, value)
	case "NSsid":
		s.NSsid = pids(f, value)
	case "Uid":
		s.Uid = parseIDs(f, value)
	case "Gid":
		s.Gid = parseIDs(f, value)
	case "Groups":
		for _, w := range strings.Fields(value) {
			s.Groups = append(s.Groups, f.uint32("group", w, 10))
		}
	case "Threads":
		s.Threads = f.int("count", value)
	case "SigQ":
		used, limit, _ := strings.Cut(value, "/")
		s.SigQ = f.uint("count", used, 10)
		s.SigLimit = f.uint("limit", limit, 10)
	case "NoNewPrivs":
		s.NoNewPrivs = f.uint("flag", value, 10) != 0
	case "Seccomp":
		s.Seccomp = f.int("mode", value)
	case "Speculation_Store_Bypass":
		s.StoreBypass = value
	case "SpeculationIndirectBranch":
		s.IndirectBranch = value
	case "x86_Thread_features":
		s.ThreadFeatures = strings.TrimSpace(value)
	case "untag_mask":
		s.UntagMask = f.uint("mask", strings.TrimPrefix(value, "0x"), 16)
	case "voluntary_ctxt_switches":
		s.VoluntarySwitches = f.uint("count", value, 10)
	case "nonvoluntary_ctxt_switches":
		s.InvoluntarySwitches = f.uint("count", value, 10)
	default:
		if p := s.size(key); p != nil {
			*p = f.kilobytes("size", value)
		} else if p := s.mask(key); p != nil {
			*p = f.uint("mask", value, 16)
		}
	}
}

// size returns the field for a line in kB, or nil if the line is not used.
func (s *StatusInfo) size(key string) *uint64 {
	switch key {
	case "VmLck":
		return &s.VmLck
	case "VmPin":
		return &s.VmPin
	case "VmHWM":
		return &s.VmHWM
	case "VmRSS":
		return &s.VmRSS
	case "VmPTE":
		return &s.VmPTE
	case "RssAnon":
		return &s.RssAnon
	case "VmSwap":
		return &s.VmSwap
	}
	return nil
}

// mask returns the field for a line of 16 hex digits, or nil if the line is not used.
func (s *StatusInfo) mask(key string) *uint64 {
	switch key {
	case "SigPnd":
		return &s.SigPnd
	case "ShdPnd":
		return &s.ShdPnd
	case "SigBlk":
		return &s.SigBlk
	case "SigIgn":
		return &s.SigIgn
	case "SigCgt":
		return &s.SigCgt
	case "CapInh":
		return &s.CapInh
	case "CapPrm":
		return &s.CapPrm
	case "CapEff":
		return &s.CapEff
	case "CapBnd":
		return &s.CapBnd
	case "CapAmb":
		return &s.CapAmb
	}
	return nil
}

func parseIDs(f *fields, value string) (ids [4]uint32) {
	words := strings.Fields(value)
	if len(words) != len(ids) {
		f.fail("ids")
		return ids
	}
	for i, w := range words {
		ids[i] = f.uint32("ids", w, 10)
	}
	return ids
}

// unescapeComm reverses the kernel's escapes in the Name line: it writes newline and backslash as \n and \\ (proc_task_name in
// fs/proc/array.c). It does not escape them in comm and stat.
func unescapeComm(s string) string {
	if !strings.Contains(s, `\`) {
		return s // making a replacer takes longer than the rest of Status
	}
	return strings.NewReplacer(`\n`, "\n", `\\`, `\`).Replace(s)
}

func pids(f *fields, value string) (all []int) {
	for _, w := range strings.Fields(value) {
		all = append(all, f.int("pid", w))
	}
	return all
}

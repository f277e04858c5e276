package proc

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// StatInfo is /proc/PID/stat (proc_pid_stat(5)). Addresses are 0 if the reader has no permission to ptrace the process.
type StatInfo struct {
	Pid         int
	Comm        string
	State       byte
	PPid        int
	Pgrp        int
	Session     int
	TTY         uint32 // device number of the controlling terminal, as the kernel encodes it; 0: none
	Tpgid       int    // foreground process group of that terminal; -1: none
	Flags       uint64
	MinorFaults uint64
	ChildMinor  uint64
	MajorFaults uint64
	ChildMajor  uint64
	Utime       uint64 // ticks
	Stime       uint64 // ticks
	ChildUtime  int64
	ChildStime  int64
	Priority    int64
	Nice        int
	Threads     int
	StartTime   uint64 // ticks since boot
	Vsize       uint64 // bytes
	RssPages    int64
	RssLimit    uint64
	StartCode   uint64
	EndCode     uint64
	StartStack  uint64
	KstkEsp     uint64
	KstkEip     uint64
	Signals     uint64 // pending for this thread: bit 0 is signal 1, up to signal 31
	ExitSignal  int
	Processor   int
	RtPriority  uint64
	Policy      uint64
	BlkioTicks  uint64
	GuestTime   uint64
	ChildGuest  int64
	StartData   uint64
	EndData     uint64
	StartBrk    uint64
	ArgStart    uint64
	ArgEnd      uint64
	EnvStart    uint64
	EnvEnd      uint64
	ExitCode    int
}

// Exiting is the flag PF_EXITING of StatInfo.Flags (linux/sched.h): the thread takes no signal any more, and may have no memory.
const Exiting = 4

// HasEnded tells whether a whole process has ended. A thread group leader that has exited is a zombie as long as other threads live.
func (s *StatInfo) HasEnded() bool { return s.State == 'X' || s.State == 'Z' && s.Threads <= 1 }

// IsLive tells whether a thread can take a signal. When a process exits or is killed, each of its threads gets SIGKILL, and exits as soon
// as it runs. Until then the other threads may already have no memory and no directories.
func (s *StatInfo) IsLive() bool {
	const killed = 1 << (unix.SIGKILL - 1)
	return s.State != 'Z' && s.State != 'X' && s.Flags&Exiting == 0 && s.Signals&killed == 0
}

// statFields is how many fields follow the comm since Linux 3.5.
const statFields = 50

// Stat parses /proc/PID/stat. The comm can contain any character, also parentheses, blanks and newlines. It ends at the last
// closing parenthesis of the file.
func Stat(r io.Reader) (StatInfo, error) {
	var s StatInfo
	data, err := readAll(r)
	if err != nil {
		return s, fmt.Errorf("stat: %w", err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return s, fmt.Errorf("stat %q: no comm", text)
	}
	s.Comm = text[open+1 : end]
	f := statReader{text: text, words: strings.Fields(text[end+1:])}
	if len(f.words) < statFields {
		return s, fmt.Errorf("stat %q: %d fields after the comm, want %d", text, len(f.words), statFields)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(text[:open]))
	if err != nil {
		return s, fmt.Errorf("stat %q: bad pid", text)
	}
	s.Pid = pid
	s.State = f.words[0][0]
	f.i = 1
	s.PPid, s.Pgrp, s.Session = f.int(), f.int(), f.int()
	s.TTY, s.Tpgid, s.Flags = uint32(f.int()), f.int(), f.uint()
	s.MinorFaults, s.ChildMinor, s.MajorFaults, s.ChildMajor = f.uint(), f.uint(), f.uint(), f.uint()
	s.Utime, s.Stime, s.ChildUtime, s.ChildStime = f.uint(), f.uint(), f.int64(), f.int64()
	s.Priority, s.Nice, s.Threads = f.int64(), f.int(), f.int()
	f.i++ // itrealvalue: always 0 since Linux 2.6.17
	s.StartTime, s.Vsize, s.RssPages, s.RssLimit = f.uint(), f.uint(), f.int64(), f.uint()
	s.StartCode, s.EndCode, s.StartStack, s.KstkEsp, s.KstkEip = f.uint(), f.uint(), f.uint(), f.uint(), f.uint()
	s.Signals = f.uint()
	f.i += 3 // other signal sets of 31 bits: see status
	f.i += 3 // wchan, nswap, cnswap
	s.ExitSignal, s.Processor, s.RtPriority, s.Policy = f.int(), f.int(), f.uint(), f.uint()
	s.BlkioTicks, s.GuestTime, s.ChildGuest = f.uint(), f.uint(), f.int64()
	s.StartData, s.EndData, s.StartBrk = f.uint(), f.uint(), f.uint()
	s.ArgStart, s.ArgEnd, s.EnvStart, s.EnvEnd = f.uint(), f.uint(), f.uint(), f.uint()
	s.ExitCode = f.int()
	return s, f.err
}

// statReader parses the words after the comm one after the other.
type statReader struct {
	text  string
	words []string
	i     int
	err   error
}

func (f *statReader) uint() uint64 {
	v, err := strconv.ParseUint(f.words[f.i], 10, 64)
	f.note(err)
	return v
}

func (f *statReader) int64() int64 {
	v, err := strconv.ParseInt(f.words[f.i], 10, 64)
	f.note(err)
	return v
}

func (f *statReader) int() int { return int(f.int64()) }

func (f *statReader) note(err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("stat %q: bad field %d", f.text, f.i+3)
	}
	f.i++
}

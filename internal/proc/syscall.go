package proc

import (
	"io"
	"strings"
)

// SyscallInfo is /proc/PID/task/TID/syscall: the blocked system call of a thread.
type SyscallInfo struct {
	Running bool // the thread is running or runnable; the other fields are not set
	Number  int  // of the call; -1: stopped, but in no system call
	Args    [6]uint64
	SP      uint64
	PC      uint64
}

// Syscall parses /proc/PID/syscall: "running", "-1 SP PC" or "NUMBER ARGS×6 SP PC".
func Syscall(r io.Reader) (SyscallInfo, error) {
	s := SyscallInfo{Number: -1}
	l := newLines(r, "syscall")
	if !l.next() {
		if l.err != nil {
			return s, l.err
		}
		return s, l.bad("no line")
	}
	if l.text == "running" {
		s.Running = true
		return s, nil
	}
	w := strings.Fields(l.text)
	f := fields{l: l}
	switch len(w) {
	case 3:
	case 9:
		for i := range s.Args {
			s.Args[i] = f.hex("argument", w[1+i])
		}
	default:
		return s, l.bad("neither 1, 3 nor 9 fields")
	}
	s.Number = f.int("number", w[0])
	s.SP = f.hex("stack pointer", w[len(w)-2])
	s.PC = f.hex("program counter", w[len(w)-1])
	return s, f.err
}

// hex parses "0x7ffe".
func (f *fields) hex(name, s string) uint64 {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		f.fail(name)
	}
	return f.uint(name, digits, 16)
}

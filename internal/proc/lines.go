package proc

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unique"
)

// lines reads one file of /proc line by line, and makes the errors for it.
type lines struct {
	r    io.Reader
	file string // name in errors: "maps"
	n    int    // number of the current line, from 1
	text string // the current line, without its newline
	rest string // what has been read behind it
	over bool   // nothing is left to read
	err  error  // of reading; never io.EOF
}

func newLines(r io.Reader, file string) *lines { return &lines{r: r, file: file} }

// buffers are for one read each. Programs are frozen while these files are read, and new memory costs page faults.
var buffers = sync.Pool{New: func() any { return new([4096]byte) }}

// next moves to the next line. It returns false at the end and after an error.
func (l *lines) next() bool {
	for l.err == nil {
		line, rest, found := strings.Cut(l.rest, "\n")
		if found || l.over {
			l.text, l.rest = line, rest
			if !found && line == "" {
				return false
			}
			l.n++
			return true
		}
		l.more()
	}
	return false
}

// more reads more of the file.
func (l *lines) more() {
	buffer := buffers.Get().(*[4096]byte)
	defer buffers.Put(buffer)
	n, err := l.r.Read(buffer[:])
	l.rest += string(buffer[:max(n, 0)])
	switch {
	case err == io.EOF:
		l.over = true
	case err != nil:
		l.err = fmt.Errorf("%s line %d: %w", l.file, l.n+1, err)
	}
}

// kept is a copy of a part of a line. A part would keep all that was read with it. Most processes have the same libraries, so equal
// copies exist once.
func kept(part string) string { return unique.Make(part).Value() }

// bad makes an error: the current line is malformed.
func (l *lines) bad(what string) error {
	return fmt.Errorf("%s line %d %q: %s", l.file, l.n, l.text, what)
}

// fields parses values of the current line. It keeps the first error, so that a parser can parse several values and check for
// an error once.
type fields struct {
	l   *lines
	err error
}

func (f *fields) uint(name, s string, base int) uint64 {
	v, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		f.fail(name)
	}
	return v
}

func (f *fields) uint32(name, s string, base int) uint32 {
	v, err := strconv.ParseUint(s, base, 32)
	if err != nil {
		f.fail(name)
	}
	return uint32(v)
}

func (f *fields) int(name, s string) int {
	v, err := strconv.Atoi(s)
	if err != nil {
		f.fail(name)
	}
	return v
}

func (f *fields) int64(name, s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f.fail(name)
	}
	return v
}

func (f *fields) fail(name string) {
	if f.err == nil {
		f.err = f.l.bad("bad " + name)
	}
}

// kilobytes parses "132 kB" into bytes.
func (f *fields) kilobytes(name, s string) uint64 {
	n, ok := strings.CutSuffix(s, " kB")
	v, err := strconv.ParseUint(strings.TrimSpace(n), 10, 54)
	if !ok || err != nil {
		f.fail(name)
	}
	return v << 10
}

package proc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// lines reads one file of /proc line by line, and makes the errors for it.
type lines struct {
	r    *bufio.Reader
	file string // name in errors: "maps"
	n    int    // number of the current line, from 1
	text string // the current line, without its newline
	err  error  // of reading; never io.EOF
}

func newLines(r io.Reader, file string) *lines {
	return &lines{r: bufio.NewReaderSize(r, os.Getpagesize()), file: file}
}

// next moves to the next line. It returns false at the end and after an error.
func (l *lines) next() bool {
	if l.err != nil {
		return false
	}
	line, err := l.r.ReadSlice('\n')
	text := string(line)
	if err == bufio.ErrBufferFull {
		var rest string
		rest, err = l.r.ReadString('\n')
		text += rest
	}
	if err != nil && err != io.EOF {
		l.err = fmt.Errorf("%s line %d: %w", l.file, l.n+1, err)
		return false
	}
	if text == "" {
		return false
	}
	l.n++
	l.text = strings.TrimSuffix(text, "\n")
	return true
}

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

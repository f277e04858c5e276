package obstacle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"crak.dev/crak/internal/printable"
)

// Advice is one hint and the obstacles that it is for.
type Advice struct {
	Lines []string // one for each kind of obstacle: "pid 12 fd 3, 4, 7-19: eventfd: not supported"
	Hint  string   // may be empty
}

// A kind is the obstacles of a process that differ only in where they are and in detail.
type kind struct {
	pid       int
	what, why string
}

// A hint is what the user can do. Options of crak checkpoint belong to one process.
type hint struct {
	do  string
	pid int // 0 where there are no options
}

// Summary groups obstacles by hint, and those with the same hint by kind. Both are in the order in which they first occur.
func (l List) Summary() []Advice {
	var hints []hint
	of := make(map[hint]List)
	for _, o := range l {
		h := hint{do: o.Do}
		if o.Option != "" {
			h.pid = o.Pid
		}
		if of[h] == nil {
			hints = append(hints, h)
		}
		of[h] = append(of[h], o)
	}
	all := make([]Advice, len(hints))
	for i, h := range hints {
		all[i] = Advice{Lines: of[h].lines(), Hint: of[h].hint(h)}
	}
	return all
}

// lines has one line for each kind.
func (l List) lines() []string {
	var kinds []kind
	of := make(map[kind]List)
	for _, o := range l {
		k := kind{o.Pid, o.What, o.Why}
		if of[k] == nil {
			kinds = append(kinds, k)
		}
		of[k] = append(of[k], o)
	}
	lines := make([]string, len(kinds))
	for i, k := range kinds {
		lines[i] = of[k].line()
	}
	return lines
}

// line describes obstacles of one kind.
func (l List) line() string {
	var wheres, details, subject []string
	for _, o := range l {
		if o.Where != "" {
			wheres = append(wheres, o.Where)
		}
		if o.Detail != "" && !slices.Contains(details, o.Detail) {
			details = append(details, o.Detail)
		}
	}
	if l[0].Pid != 0 {
		subject = append(subject, fmt.Sprintf("pid %d", l[0].Pid))
	}
	if len(wheres) > 0 {
		subject = append(subject, few(merge(wheres), 10))
	}
	line := l[0].What
	if len(subject) > 0 {
		line = strings.Join(subject, " ") + ": " + line
	}
	if len(details) > 0 {
		line += " (" + few(details, 3) + ")"
	}
	return printable.Text(line + ": " + l[0].Why)
}

// hint puts the options for all obstacles of a list into one command.
func (l List) hint(h hint) string {
	if h.pid == 0 {
		return printable.Text(h.do)
	}
	var options []string
	for _, o := range l {
		options = append(options, o.Option)
	}
	text := fmt.Sprintf("make the image without it: crak checkpoint %s %d", strings.Join(options, " "), h.pid)
	if h.do != "" {
		text += "; or " + h.do
	}
	return printable.Text(text)
}

// merge shortens places that are numbered: "fd 3", "fd 4", "fd 7", "fd 8", "fd 9" become "fd 3", "4", "7-9".
func merge(wheres []string) []string {
	var short []string
	for i := 0; i < len(wheres); {
		word, first, ok := numbered(wheres[i])
		if !ok {
			short = append(short, wheres[i])
			i++
			continue
		}
		run := 1
		for i+run < len(wheres) && wheres[i+run] == fmt.Sprintf("%s %d", word, first+run) {
			run++
		}
		if run == 2 { // "3, 4" reads better than "3-4"
			run = 1
		}
		text := strconv.Itoa(first)
		if run > 1 {
			text += "-" + strconv.Itoa(first+run-1)
		}
		if before, _, _ := numbered(wheres[max(i-1, 0)]); i == 0 || before != word {
			text = word + " " + text
		}
		short = append(short, text)
		i += run
	}
	return short
}

// numbered takes "fd 7" apart.
func numbered(where string) (word string, number int, ok bool) {
	word, digits, _ := strings.Cut(where, " ")
	number, err := strconv.Atoi(digits)
	return word, number, err == nil && strconv.Itoa(number) == digits
}

// few joins texts, of which there may be many.
func few(texts []string, most int) string {
	if more := len(texts) - most; more > 0 {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}

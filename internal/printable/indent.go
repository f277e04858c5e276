package printable

import (
	"bufio"
	"io"
)

// Indent returns a writer that indents JSON by two spaces, as json.Indent does. It keeps no more than a buffer: the indented text of
// an image from somebody else can be much longer than the image.
//
// Preconditions: what is written is compact JSON, and ends with a newline.
func Indent(w io.Writer) io.Writer { return &indenter{to: bufio.NewWriterSize(w, 1<<16)} }

type indenter struct {
	to      *bufio.Writer
	depth   int
	quoted  bool // in a string
	escaped bool // after a backslash in a string
	begun   bool // a list or an object has begun, and has no element yet
}

func (n *indenter) Write(text []byte) (int, error) {
	for _, c := range text {
		n.put(c)
		if c == '\n' && n.depth == 0 {
			if err := n.to.Flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(text), nil
}

func (n *indenter) put(c byte) {
	if n.quoted {
		n.to.WriteByte(c) // Flush returns its error
		n.quoted = c != '"' || n.escaped
		n.escaped = c == '\\' && !n.escaped
		return
	}
	ends := c == '}' || c == ']'
	if ends {
		n.depth--
	}
	if ends != n.begun { // otherwise it is empty
		n.line()
	}
	n.begun = c == '{' || c == '['
	n.to.WriteByte(c)
	switch c {
	case '{', '[':
		n.depth++
	case ',':
		n.line()
	case ':':
		n.to.WriteByte(' ')
	case '"':
		n.quoted = true
	}
}

func (n *indenter) line() {
	n.to.WriteByte('\n')
	for range n.depth {
		n.to.WriteString("  ")
	}
}

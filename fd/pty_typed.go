package fd

import (
	"bytes"
	"fmt"
)

// A typing is what has to be typed in typeModes so that lines, and the beginning of another one, are in the queue of a terminal.
type typing struct {
	keys   []byte
	writes []int // sizes of the writes
	arrive int   // what FIONREAD reports when the queue has the lines, or as many as it can hold
}

// typed returns what has to be typed for lines of these lengths, and the beginning of a line.
//
// FIONREAD does not count the beginning of a line. So it is typed with the end of the line before it, in one write of ptyPass bytes, which
// arrives as a whole. If it is longer than that, no call tells when it has arrived.
func typed(content []byte, lengths []int) (t typing) {
	slots := 0
	for _, n := range lengths {
		line := content[:n]
		content = content[n:]
		ended := n > 0 && line[n-1] == '\n'
		if ended {
			line = line[:n-1]
		}
		t.keys = append(quoted(t.keys, line), choose(ended, byte('\n'), endOfFile))
		if slots += len(line) + 1; slots <= ptyFull { // the end of file takes a place in the queue, too
			t.arrive += n
		}
	}
	t.keys = quoted(t.keys, content)
	last := min(len(t.keys), ptyPass)
	t.writes = append(ptyWrites(len(t.keys)-last), last)
	return t
}

func quoted(keys, text []byte) []byte {
	for _, b := range text {
		if b == '\n' || b == endOfFile || b == quote {
			keys = append(keys, quote)
		}
		keys = append(keys, b)
	}
	return keys
}

// lineLengths returns the lengths of the lines that the content begins with. results are those of reading them one by one. If there were
// more lines than reads, newlines end the others.
func lineLengths(content []byte, results []int64) (lengths []int, err error) {
	total := int64(0)
	for _, n := range results {
		if n < 0 {
			return lengths, nil
		}
		if total += n; n > ptyQueue || total > int64(len(content)) {
			return nil, fmt.Errorf("lines of %d bytes and more, in %d bytes", total, len(content))
		}
		lengths = append(lengths, int(n))
	}
	for rest := content[total:]; ; {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 {
			return lengths, nil
		}
		lengths = append(lengths, n)
		rest = rest[n:]
	}
}

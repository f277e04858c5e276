package printable

import (
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON returns a writer for JSON that is shown on a terminal. It writes every character that is not printable as JSON does in a
// string: \u009b. encoding/json does so for the control characters of ASCII only, and not for DEL.
//
// Preconditions: such characters occur in strings only. Each Write ends at the end of a character.
func JSON(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ w io.Writer }

func (j jsonWriter) Write(text []byte) (int, error) {
	begun := 0 // of what has not been written
	for at := 0; at < len(text); {
		if c := text[at]; c >= ' ' && c < 0x7f {
			at++
			continue
		}
		r, n := utf8.DecodeRune(text[at:])
		if unicode.IsPrint(r) || r == '\n' {
			at += n
			continue
		}
		if _, err := j.w.Write(text[begun:at]); err != nil {
			return begun, err
		}
		if _, err := j.w.Write(escaped(r)); err != nil {
			return at, err
		}
		at += n
		begun = at
	}
	_, err := j.w.Write(text[begun:])
	return len(text), err
}

// escaped is a character as an escape sequence of JSON (RFC 8259, section 7).
func escaped(r rune) (text []byte) {
	const digits = "0123456789abcdef"
	for _, unit := range utf16.AppendRune(nil, r) {
		text = append(text, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
	}
	return text
}

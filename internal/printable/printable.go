// Package printable makes text fit for a terminal and for one line of a log. Names of files, threads and programs are any
// bytes: a newline in one would be another line of the log, an escape sequence an order to the terminal.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text writes every character that is not printable as Go does in a string: \n, \x1b, \u202e. All else stays as it is.
func Text(s string) string {
	if isPrintable(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			const digits = "0123456789abcdef"
			b.WriteString(`\x` + string(digits[s[0]>>4]) + string(digits[s[0]&15]))
		case unicode.IsPrint(r):
			b.WriteString(s[:n])
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

func isPrintable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

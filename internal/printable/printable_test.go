package printable

import "testing"

func TestText(t *testing.T) {
	for s, want := range map[string]string{
		"":                            "",
		"/usr/bin/größe x":            "/usr/bin/größe x",
		`a "quoted" back\slash`:       `a "quoted" back\slash`,
		"a\nb\tc\x1b[31m":             `a\nb\tc\x1b[31m`,
		"\x00\x7f\u0085\u009b":        `\x00\x7f\u0085\u009b`,
		"no\xffUTF-8\xc3":             `no\xffUTF-8\xc3`,
		"left\u202eright\u2028\ufeff": `left\u202eright\u2028\ufeff`,
		"\ufffd":                      "\ufffd",
		"\U0010ff41":                  `\U0010ff41`,
	} {
		if got := Text(s); got != want {
			t.Errorf("Text(%q): %s, want %s", s, got, want)
		}
	}
}

package printable

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"
)

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

// TestJSON: all that is not printable is escaped, and decoded again to what it was.
func TestJSON(t *testing.T) {
	for s, want := range map[string]string{
		"":                            `""`,
		"/usr/bin/größe x":            `"/usr/bin/größe x"`,
		"a\nb\x1b[31m":                `"a\nb\u001b[31m"`,
		"\x7f\u009b":                  `"\u007f\u009b"`,
		"left\u202eright\u2028\ufeff": `"left\u202eright\u2028\ufeff"`,
		"\U0010ff41":                  `"\udbff\udf41"`,
	} {
		var b bytes.Buffer
		if err := json.NewEncoder(JSON(&b)).Encode(s); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != want+"\n" {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		var back string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != s {
			t.Errorf("%q: %q, %v", s, back, err)
		}
	}
}

func TestIndent(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `7`, `"a"`, `{"a":[1,-2.5e3,{"b":{}},[],[[null,true]]],"c":{"d":"e,:{}[]\\","\"f\\\"":"]"}}`, `[{},{}]`} {
		var want, got bytes.Buffer
		if err := json.Indent(&want, []byte(text+"\n"), "", "  "); err != nil {
			t.Fatal(err)
		}
		w := Indent(&got)
		for i := range text {
			w.Write([]byte{text[i]})
		}
		if _, err := w.Write([]byte("\n")); err != nil || got.String() != want.String() {
			t.Errorf("%s: %v\n%s\nwant\n%s", text, err, got.String(), want.String())
		}
	}
}

// TestShell has a shell read the words.
func TestShell(t *testing.T) {
	for word, want := range map[string]string{
		"/run/a-b_c.d":  "/run/a-b_c.d",
		"":              "''",
		"a b":           "'a b'",
		"a;reboot":      "'a;reboot'",
		"$(reboot)'`x`": `'$(reboot)'\''` + "`x`'",
		"größe":         "'größe'",
	} {
		if got := Shell(word); got != want {
			t.Errorf("Shell(%q): %s, want %s", word, got, want)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+Shell(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("a shell reads %q for %q, %v", out, word, err)
		}
	}
}

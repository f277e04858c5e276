package image

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Names of files and threads are bytes, but JSON is Unicode. In an image, a byte that is not part of valid UTF-8 is written as the
// character U+10FF00 plus the value of the byte. These characters are in a private use area. If a name contains such a
// character, each of its bytes is written in the same way.
const (
	escapeFirst  = 0x10ff00
	escapeLast   = 0x10ffff
	escapePrefix = "\xf4\x8f" // of all of them, in UTF-8
)

// MarshalText is json.Marshal for a value whose strings may not be valid UTF-8. v is a pointer to it.
func MarshalText(v any) ([]byte, error) {
	changed := false
	eachString(reflect.ValueOf(v), func(s string) string {
		escaped := escape(s)
		changed = changed || escaped != s
		return escaped
	})
	text, err := json.Marshal(v)
	if changed {
		eachString(reflect.ValueOf(v), unescape)
	}
	return text, err
}

// restoreText unescapes all strings of the value that v points to. The value was decoded from text.
func restoreText(text []byte, v any) {
	if bytes.Contains(text, []byte(escapePrefix)) {
		eachString(reflect.ValueOf(v), unescape)
	}
}

func isEscape(r rune) bool { return r >= escapeFirst && r <= escapeLast }

func escape(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, escapePrefix) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 || isEscape(r) {
			for _, c := range []byte(s[:n]) {
				b.WriteRune(escapeFirst + rune(c))
			}
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func unescape(s string) string {
	if !strings.Contains(s, escapePrefix) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isEscape(r) {
			b.WriteByte(byte(r - escapeFirst))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// eachString replaces every string in a value by the result of change.
func eachString(v reflect.Value, change func(string) string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachString(v.Elem(), change)
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(change(v.String()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			eachString(v.Field(i), change)
		}
	case reflect.Slice, reflect.Array:
		switch v.Type().Elem().Kind() {
		case reflect.String, reflect.Struct, reflect.Pointer, reflect.Slice:
			for i := range v.Len() {
				eachString(v.Index(i), change)
			}
		}
	}
}

package image

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestFormatNamesFields checks that FORMAT.md names every field of the JSON files.
func TestFormatNamesFields(t *testing.T) {
	text, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[reflect.Type]bool)
	for _, root := range []any{Manifest{}, Group{}} {
		eachField(reflect.TypeOf(root), seen, func(owner reflect.Type, name string) {
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%v: field %q is not in FORMAT.md", owner, name)
			}
		})
	}
}

// eachField calls fn with the JSON name of every field of a type, and of the types of its fields.
func eachField(typ reflect.Type, seen map[reflect.Type]bool, fn func(owner reflect.Type, name string)) {
	switch typ.Kind() {
	case reflect.Slice, reflect.Array, reflect.Pointer:
		eachField(typ.Elem(), seen, fn)
	case reflect.Struct:
		if seen[typ] || typ.PkgPath() == "time" {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			fn(typ, name)
			eachField(f.Type, seen, fn)
		}
	}
}

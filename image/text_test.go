package image

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	type record struct {
		Name  string
		Files []*File
		Maps  []Mapping
		Bytes []byte
	}
	for _, name := range []string{"", "plain", "ä ☃ \U0010ffff \U0010ff01", "\xff", "a\xe4\xf4\x8f", "\xf4\x8f\xbc", "new\nline"} {
		make := func() *record {
			return &record{name, []*File{nil, {Path: name}}, []Mapping{{Name: name, File: &File{Path: "/" + name}}}, []byte(name)}
		}
		r := make()
		text, err := MarshalText(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(make(), r); diff != "" {
			t.Errorf("%q: changed by being written:\n%s", name, diff)
		}
		var back record
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		restoreText(text, &back)
		if diff := cmp.Diff(make(), &back); diff != "" {
			t.Errorf("%q: comes back otherwise:\n%s", name, diff)
		}
	}
}

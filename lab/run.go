package lab

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Run runs the scripts as subtests root/NAME and user/NAME, as far as the caller can be both.
func Run(t *testing.T, p Params) {
	t.Helper()
	l, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range l.params.Identities {
		scripts, err := id.scripts(l.params)
		if err != nil {
			t.Fatal(err)
		}
		if len(scripts) == 0 {
			t.Fatalf("%s: no script for %s", l.params.Dir, id.Name)
		}
		t.Run(id.Name, func(t *testing.T) {
			params := l.Testscript(id)
			params.Dir, params.Files = "", scripts
			testscript.Run(t, params)
		})
	}
}

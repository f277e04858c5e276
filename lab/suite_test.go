package lab_test

import (
	"flag"
	"testing"

	"crak.dev/crak/lab"
)

var keep = flag.Bool("keep", false, "leave the scripts' work directories behind")

// TestSuite runs the scripts of testdata: what crak promises, as root and as an ordinary user.
// One script: go test ./lab -run 'TestSuite/user/^memory$'
func TestSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	lab.Run(t, lab.Params{
		Dir:     "../testdata",
		Include: "../shim",
		Cache:   "../build/programs",
		Keep:    *keep,
	})
}

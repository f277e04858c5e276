package lab_test

import (
	"flag"
	"os"
	"testing"

	"crak.dev/crak/lab"
)

var keep = flag.Bool("keep", false, "leave the scripts' work directories behind")

func TestMain(m *testing.M) { os.Exit(lab.UnderReaper(m.Run)) }

// TestSuite runs the scripts of testdata: what crak promises, as root and as an ordinary user.
// One script: go test ./lab -run 'TestSuite/user/^memory$'
func TestSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	lab.Run(t, params("../testdata"))
}

func params(dir string) lab.Params {
	return lab.Params{
		Dir:      dir,
		Programs: "../testdata/programs",
		Include:  "../shim",
		Cache:    "../build/programs",
		Keep:     *keep,
	}
}

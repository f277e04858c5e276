package lab_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crak.dev/crak/lab"
)

var (
	keep    = flag.Bool("keep", false, "leave the scripts' work directories behind")
	pending = flag.Bool("pending", false, "run the scripts of testdata/pending, too")
)

func TestMain(m *testing.M) { os.Exit(lab.UnderReaper(m.Run)) }

// TestSuite runs the scripts of testdata: what crak promises, as root and as an ordinary user.
// One script: go test ./lab -run 'TestSuite/user/^memory$'
func TestSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	lab.Run(t, params("../testdata"))
}

// TestPending runs the scripts for what crak does not do yet: go test ./lab -run TestPending -pending. Without the flag it is
// skipped and names them, so that every list of skipped tests shows that there are some.
func TestPending(t *testing.T) {
	scripts, err := filepath.Glob("../testdata/pending/*.txtar")
	if err != nil || len(scripts) == 0 {
		return
	}
	if !*pending {
		t.Skipf("%d scripts wait for what they test: %s", len(scripts), strings.Join(scripts, " "))
	}
	lab.Run(t, params("../testdata/pending"))
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

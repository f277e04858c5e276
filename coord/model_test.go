package coord

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModel has spin(1) go through all states of testdata/barrier.pml. With a mistake in the model it must find an error.
func TestModel(t *testing.T) {
	if _, err := exec.LookPath("spin"); err != nil {
		t.Skip("the program spin: scripts/setup installs it")
	}
	model, err := filepath.Abs("testdata/barrier.pml")
	if err != nil {
		t.Fatal(err)
	}
	assertions := []string{"-DNOCLAIM", "-DSAFETY"}
	for name, test := range map[string]struct {
		mistake string
		build   []string
		run     []string
		good    bool
	}{
		"assertions":     {"", assertions, []string{"-E", "-m1000000"}, true},
		"released":       {"", []string{"-DNFAIR=3"}, []string{"-a", "-f", "-m1000000", "-N", "released"}, true},
		"look once":      {"-DLOOK_ONCE", assertions, []string{"-E", "-m1000000"}, false},
		"snapshot alone": {"-DSNAPSHOT_ALONE", assertions, []string{"-E", "-m1000000"}, false},
		"trust":          {"-DTRUST", assertions, []string{"-E", "-m1000000"}, false},
		"forget":         {"-DFORGET", []string{"-DNFAIR=3"}, []string{"-a", "-f", "-m1000000", "-N", "released"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			run := func(name string, args ...string) string {
				cmd := exec.Command(name, args...)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				if err != nil && !strings.HasSuffix(name, "pan") { // pan fails where it finds an error
					t.Fatalf("%s %q: %v\n%s", name, args, err, out)
				}
				return string(out)
			}
			args := []string{"-a", model}
			if test.mistake != "" {
				args = append([]string{test.mistake}, args...)
			}
			run("spin", args...)
			run("gcc", append([]string{"-O2", "-w", "-o", "pan", "pan.c"}, test.build...)...)
			out := run("./pan", test.run...)
			if good := strings.Contains(out, "errors: 0"); good != test.good || !strings.Contains(out, "errors: ") || strings.Contains(out, "max search depth too small") {
				t.Errorf("%s", out)
			}
		})
	}
}

package coord

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestParseTrigger(t *testing.T) {
	for value, want := range map[string]int{"": 12, "none": 0, "USR1": 10, "SIGUSR2": 12, "10": 10, "64": 64, "RTMIN": 34, "RTMIN+3": 37,
		"SIGRTMIN+0": 34} {
		if got, err := ParseTrigger(value); err != nil || got != want {
			t.Errorf("%q: %d, %v", value, got, err)
		}
	}
	for _, bad := range []string{"FOO", "KILL", "9", "19", "32", "33", "65", "0", "-1", "RTMIN+31", "RTMIN+", "RTMIN+x", "SIG"} {
		if got, err := ParseTrigger(bad); err == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}

// TestTriggersOfLibrary: the library and the command know the same names.
func TestTriggersOfLibrary(t *testing.T) {
	source, err := os.ReadFile("../shim/init.c")
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range triggers {
		if !strings.Contains(string(source), fmt.Sprintf("{ %q, SIG%s }", known.name, known.name)) {
			t.Errorf("shim/init.c does not know %s", known.name)
		}
	}
}

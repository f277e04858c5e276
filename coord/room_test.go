package coord

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestTwinGoesFirst: the twin has the highest oom_score_adj, so the kernel kills it before the program. The program is frozen
// until RESUME, and then runs while the twin waits.
func TestTwinGoesFirst(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	conn := frozen(t, p.pid())
	twin, err := conn.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Confirm(); err != nil || !p.inHandler() {
		t.Errorf("the program is not frozen after SNAPSHOT: %v", err)
	}
	if err := conn.Resume(); err != nil {
		t.Fatal(err)
	}
	p.echoes()
	score := func(pid int) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	before := score(os.Getpid())
	for deadline := time.Now().Add(timeoutAnswer); score(twin) != "1000"; time.Sleep(time.Millisecond) { // /proc has no event for this
		if time.Now().After(deadline) {
			t.Fatalf("oom_score_adj of the twin is %s", score(twin))
		}
	}
	if got := score(p.pid()); got != before {
		t.Errorf("oom_score_adj of the program is %s, was %s", got, before)
	}
}

func TestTwinChoice(t *testing.T) {
	for choice, want := range map[string]string{"": "", "auto": "", "need": "", "never": "", "two": `CRAK_TWIN="two": neither auto, need nor never`} {
		c := &checkpoint{Options: Options{Pid: os.Getpid()}, members: []*member{{pid: os.Getpid(), live: os.Getpid()}}, settings: map[string]string{"CRAK_TWIN": choice}}
		if err := c.planTwin(); errorText(err) != want {
			t.Errorf("%q: %v", choice, err)
		}
		if (c.noTwin != "") != (choice == "never") || c.needTwin != (choice == "need") {
			t.Errorf("%q: no twin %q, needed %v", choice, c.noTwin, c.needTwin)
		}
	}
}

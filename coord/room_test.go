package coord

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"crak.dev/crak/internal/abi"
)

// TestTwinGoesFirst: the twin has the highest oom_score_adj, so the kernel kills it before the program. The program is frozen
// until RESUME, and then runs while the twin waits.
func TestTwinGoesFirst(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	c := &checkpoint{Options: Options{Pid: p.pid(), Context: context.Background()}, member: member{live: p.pid()}}
	if err := c.query(); err != nil {
		t.Fatal(err)
	}
	defer c.listener.Close()
	conn, err := c.order(abi.OrderFreeze, patienceHold)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Frozen(patienceFreeze); err != nil {
		t.Fatal(err)
	}
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
	for deadline := time.Now().Add(patienceAnswer); score(twin) != "1000"; time.Sleep(time.Millisecond) {
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
		c := &checkpoint{Options: Options{Pid: os.Getpid()}, member: member{live: os.Getpid()}, settings: map[string]string{"CRAK_TWIN": choice}}
		if err := c.planTwin(); errorText(err) != want {
			t.Errorf("%q: %v", choice, err)
		}
		if (c.noTwin != "") != (choice == "never") || c.needTwin != (choice == "need") {
			t.Errorf("%q: no twin %q, needed %v", choice, c.noTwin, c.needTwin)
		}
	}
}

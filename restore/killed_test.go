package restore

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// phases are the names of all phases of a restart, in their order. From the phase "committed" on, the user's files have changed, and
// ^C does not end the restart. The group goes if crak is killed later than the phase "stopped".
var phases = []struct {
	name string
	goes bool
}{
	{"prepared", false}, {"interpreter", false}, {"programs", false}, {"first begun", false}, {"first mapped", false},
	{"first ready", false}, {"ready", false}, {"traced", false}, {"committed", false}, {"first stops", false}, {"stopped", false},
	{"stopped go", true}, {"go", true}, {"first runs", true}, {"runs", true},
}

const killedVariable = "CRAK_TEST_KILLED" // a signal, a phase and an image: what brokenOff does

// brokenOff restarts an image, and sends this process a signal at the beginning of a phase. It is a crak that a user kills.
func brokenOff(order string) int {
	var number unix.Signal
	words := strings.SplitN(order, ",", 3)
	fmt.Sscan(words[0], &number)
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT)
	defer stop()
	img, err := image.Open(words[2])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	o := Options{Files: fd.Rewind, Notice: func(string) {}}
	came := false
	g := &group{img: img, env: o.env(), adopt: func(*member, *member) error { return nil }, phase: func(phase string) {
		if came = came || phase == words[1]; phase == words[1] {
			unix.Kill(unix.Getpid(), number)
			<-ctx.Done()
		}
	}}
	if err := g.start(ctx); err != nil {
		fmt.Println("ended:", err)
	}
	if !came {
		fmt.Println("the phase did not come")
	}
	return 1
}

// TestKilledAnywhere kills crak at the beginning of each phase of a restart. Before the group is told to go, no process is left, and
// no file has changed; after that, all processes run.
func TestKilledAnywhere(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	beSubreaper(t)
	for _, name := range []string{"stopped", "subreaper", "zombie", "death_signal"} {
		lines, known := handmade.Families[name]
		if !known {
			t.Fatalf("no family %s", name)
		}
		for _, number := range []unix.Signal{unix.SIGKILL, unix.SIGINT} {
			for _, phase := range phases {
				if strings.Contains(phase.name, "stops") && name != "stopped" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%v/%s", name, number, phase.name), func(t *testing.T) {
					final := slices.Contains([]string{"committed", "first stops", "stopped"}, phase.name)
					for range 5 {
						if killedAt(t, lines, 0, number, phase.name, phase.goes || final && number == unix.SIGINT, phase.goes || final) {
							return
						}
					}
					t.Error("other processes of the machine have the PIDs each time")
				})
			}
		}
	}
}

// TestKilledBetweenBatches kills crak when the members exist and the first one waits for descriptors.
func TestKilledBetweenBatches(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	beSubreaper(t)
	for _, number := range []unix.Signal{unix.SIGKILL, unix.SIGINT} {
		t.Run(number.String(), func(t *testing.T) {
			for range 5 {
				if killedAt(t, handmade.Families["stopped"], 100, number, "batches", false, false) {
					return
				}
			}
			t.Error("other processes of the machine have the PIDs each time")
		})
	}
}

// TestInterruptedWhileTraced: ^C while crak traces stopped members ends the restart at once.
func TestInterruptedWhileTraced(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	beSubreaper(t)
	const most = 4 * time.Second // crak waits for 5 s and longer for threads that do not leave the handler
	for range 5 {
		begun := time.Now()
		if killedAt(t, handmade.Families["stopped"], 0, unix.SIGINT, "traced", false, false) {
			if took := time.Since(begun); took > most {
				t.Errorf("took %v", took)
			}
			return
		}
	}
	t.Error("other processes of the machine have the PIDs each time")
}

// killedAt returns false if another process of the machine has a PID of the group. With a number of eventfds, each member has as many,
// and crak may have only as many descriptors.
func killedAt(t *testing.T, lines string, eventfds int, number unix.Signal, phase string, goes, final bool) bool {
	g, err := handmade.Family(aPid(t)-20, me(), lines)
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	writeFile(t, log, "before")
	describe(t, g, 3, log)
	crak := exec.Command(os.Args[0])
	if eventfds > 0 {
		someEventfds(g, eventfds)
		crak = exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0"`, eventfds+50), os.Args[0])
	}
	path := writeImage(t, g, lingers)
	writeFile(t, log, "before and after")
	crak.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%s,%s", killedVariable, number, phase, path))
	crak.Stderr = os.Stderr
	out, err := crak.StdoutPipe()
	if err == nil {
		err = crak.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
	}
	crak.Wait()
	defer endAll()
	if slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, "EEXIST") }) {
		return false
	}
	if slices.Contains(said, "the phase did not come") || number == unix.SIGKILL && len(said) > 0 {
		t.Fatalf("crak said %q", said)
	}
	if goes {
		allRun(t, g)
		return true
	}
	noneRuns(t)
	if text, err := os.ReadFile(log); !final && string(text) != "before and after" {
		t.Errorf("log is now %q, %v", text, err)
	}
	return true
}

// someEventfds gives each process of a group eventfds of its own.
func someEventfds(g *image.Group, each int) {
	for i := range g.Processes {
		for n := range each {
			id := image.DescriptionID(len(g.Descriptions) + 1)
			g.Descriptions = append(g.Descriptions, image.Description{ID: id, Kind: "eventfd", Flags: unix.O_RDWR, Record: json.RawMessage(`{"count":1}`)})
			g.Processes[i].Descriptors = append(g.Processes[i].Descriptors, image.Descriptor{Fd: 10 + n, Description: id})
		}
	}
}

// noneRuns waits until no process of the restart is left. They notice the end of crak one after the other.
func noneRuns(t *testing.T) {
	t.Helper()
	var left map[int]relative
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) { // processes that are no children of ours
		reapEnded()
		if left = relatives(t); len(left) == 0 {
			return
		}
	}
	t.Errorf("left: %+v", left)
}

// reapEnded reaps orphans that have ended.
func reapEnded() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WALL|unix.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

// allRun waits until all processes of a group run or are stopped, each in its code.
func allRun(t *testing.T, g *image.Group) {
	t.Helper()
	var seen map[int]relative
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) { // nothing tells us that a resident runs
		seen = relatives(t)
		if len(seen) == len(g.Processes)+len(g.Zombies) {
			return
		}
	}
	t.Errorf("there are %+v", seen)
}

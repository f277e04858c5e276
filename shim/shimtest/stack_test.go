package shimtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// handlersStack is STACK_SIZE of shim/stack_amd64.S, minus the bytes that the assembly code there uses.
const handlersStack = 4096 - 64

// entries are the functions that shim/stack_amd64.S calls on the library's stacks.
var entries = []string{"handle_freeze_signal", "handle_trigger"}

// otherStack are functions that call others on another stack: callbacks, and the reaper.
var otherStack = []string{"crak_call_on", "crak_clone_vm"}

// TestHandlersFitTheirStack adds up the stack frames along every path of calls.
func TestHandlersFitTheirStack(t *testing.T) {
	g := callsOf(t)
	for _, entry := range entries {
		deepest := g.deepest(t, entry, nil)
		t.Logf("%s needs %d bytes: %s", entry, deepest.bytes, strings.Join(deepest.way, ", "))
		if deepest.bytes > handlersStack {
			t.Errorf("%s needs %d bytes of stack, there are %d: %s", entry, deepest.bytes, handlersStack, strings.Join(deepest.way, ", "))
		}
	}
}

// calls is a graph of functions: those of one file are named "file.c:function".
type calls struct {
	frame map[string]int
	to    map[string][]string
}

// depth is the most stack that a function uses, and the calls that use it.
type depth struct {
	bytes int
	way   []string
}

var (
	node = regexp.MustCompile(`^node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \((static|dynamic[^)]*)\)`)
	edge = regexp.MustCompile(`^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"`)
)

// callsOf compiles the C files as make does, and reads the output of gcc -fcallgraph-info=su.
func callsOf(t *testing.T) calls {
	t.Helper()
	sources, err := filepath.Glob("../*.c")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	dir := t.TempDir()
	g := calls{frame: make(map[string]int), to: make(map[string][]string)}
	for _, source := range sources {
		object := filepath.Join(dir, filepath.Base(source)+".o")
		out, err := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-stack-protector",
			"-fcallgraph-info=su", "-I..", "-I../../internal/abi", "-c", "-o", object, source).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", source, err, out)
		}
		text, err := os.ReadFile(strings.TrimSuffix(object, ".o") + ".ci")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if m := node.FindStringSubmatch(line); m != nil {
				if m[3] != "static" && !strings.Contains(m[3], "bounded") && !slices.Contains(mayCall, filepath.Base(source)) {
					t.Errorf("%s: its frame is %s", m[1], m[3])
				}
				g.frame[m[1]], _ = strconv.Atoi(m[2])
			} else if m := edge.FindStringSubmatch(line); m != nil {
				g.to[m[1]] = append(g.to[m[1]], m[2])
			}
		}
	}
	return g
}

// deepest follows the calls of a function. way is the path of calls to it.
func (g calls) deepest(t *testing.T, function string, way []string) depth {
	t.Helper()
	if slices.Contains(way, function) {
		t.Fatalf("%s calls itself: %v", function, way)
	}
	frame, ok := g.frame[function]
	if !ok && len(way) == 0 {
		t.Fatalf("there is no %s", function)
	}
	if function == "__indirect_call" {
		t.Errorf("nobody knows what %s calls", way[len(way)-1])
	}
	way = append(slices.Clone(way), function)
	most := depth{frame, way}
	if slices.Contains(otherStack, function) {
		return most
	}
	for _, callee := range g.to[function] {
		const address = 8 // that the call pushes
		if d := g.deepest(t, callee, way); frame+address+d.bytes > most.bytes {
			most = depth{frame + address + d.bytes, d.way}
		}
	}
	return most
}

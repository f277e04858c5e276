package shimtest

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The most that the preloaded library may cost a program. The figures are for the resident only, without the Go part: a C library
// of this size costs the same.
const (
	maximalFaults   = 18 // page faults at the start
	maximalMappings = 6  // three segments, the last split by RELRO; .bss, split by the page that a fork empties
	// kB; most of it is .bss: 1 MiB for many threads, 128 kB after a restart, 140 kB for calls with timeouts, 64 kB for the
	// handlers' stacks, 3 kB to tell children apart
	maximalVmSize = 1556
	maximalVmData = 1476
	maximalVmRSS  = 1556 // where all memory is locked (mlockall(2))
)

// TestBuildMode: go version -m reports the build mode of the library.
func TestBuildMode(t *testing.T) {
	info, err := buildinfo.ReadFile(library(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if s.Key == "-buildmode" && s.Value == "c-shared" {
			return
		}
	}
	t.Errorf("build settings %v: no -buildmode=c-shared", info.Settings)
}

// TestCostOfMemory checks the address space and the memory that the library uses.
func TestCostOfMemory(t *testing.T) {
	bare, with := memoryOf(t, false), memoryOf(t, true)
	for name, maximum := range map[string]int{
		"mappings": maximalMappings, "VmSize": maximalVmSize, "VmData": maximalVmData, "VmRSS": maximalVmRSS,
	} {
		if more := with[name] - bare[name]; more > maximum {
			t.Errorf("%s: %d more with the library, at most %d expected", name, more, maximum)
		}
	}
}

// memoryOf reads the figures of a program that has locked all its memory, so that RSS counts everything that is mapped.
func memoryOf(t *testing.T, preloaded bool) map[string]int {
	t.Helper()
	s := start(t, preloaded, "locked")
	s.await("READY")
	if s.await("LOCKED") != "0" {
		t.Skip("needs root, or a higher RLIMIT_MEMLOCK, for mlockall")
	}
	seen := map[string]int{"mappings": strings.Count(s.file("maps"), "\n")}
	for line := range strings.Lines(s.file("status")) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[0], "Vm") {
			seen[strings.TrimSuffix(f[0], ":")], _ = strconv.Atoi(f[1])
		}
	}
	return seen
}

// TestCostOfStart counts the page faults of a program that does nothing.
func TestCostOfStart(t *testing.T) {
	bare := faults(t)
	with := faults(t, "LD_PRELOAD="+library(t))
	if with-bare > maximalFaults {
		t.Errorf("page faults: %d with the library, %d without: %d more, at most %d expected", with, bare, with-bare, maximalFaults)
	}
}

// faults is the median of many runs.
func faults(t *testing.T, env ...string) int64 {
	t.Helper()
	var all []int64
	for range 101 {
		cmd := exec.Command("/bin/true")
		cmd.Env, cmd.Dir = append([]string{"PATH=/bin"}, env...), t.TempDir()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd.ProcessState.SysUsage().(*syscall.Rusage).Minflt)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// TestBoundNow: with LD_BIND_NOW the loader resolves all symbols at the start, also those that only the writer calls.
func TestBoundNow(t *testing.T) {
	s := start(t, true, "wait", "LD_BIND_NOW=1")
	s.await("READY")
	s.checkpoint(library(t), "LD_BIND_NOW=1")
}

// TestStripped: the library still works after strip(1).
func TestStripped(t *testing.T) {
	stripped := filepath.Join(t.TempDir(), "libcrak.so")
	if out, err := exec.Command("strip", "-o", stripped, library(t)).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v\n%s", err, out)
	}
	if err := os.Chmod(stripped, 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, true, "wait", "LD_PRELOAD="+stripped)
	s.await("READY")
	s.checkpoint(stripped)
}

// checkpoint makes an image with the writer in a libcrak.so.
func (s *subject) checkpoint(writer string, env ...string) {
	s.Helper()
	cmd := exec.Command(writer, "checkpoint", strconv.Itoa(s.pid()))
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
}

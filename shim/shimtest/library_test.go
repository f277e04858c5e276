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

	"github.com/google/go-cmp/cmp"
)

// TestExports: whatever else the library had in its symbol table would take the place of the program's own.
func TestExports(t *testing.T) {
	out, err := exec.Command("nm", "-D", "--defined-only", library(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.Fields(line)[2], "@")
		got = append(got, name)
	}
	slices.Sort(got)
	want := []string{"crak_checkpoint", "crak_hold", "crak_on", "crak_release",
		// What may make the program's first thread (pthread.c).
		"aio_fsync", "aio_fsync64", "aio_read", "aio_read64", "aio_write", "aio_write64", "getaddrinfo_a", "lio_listio",
		"lio_listio64", "mq_notify", "pthread_create", "thrd_create", "timer_create",
		// What names a tracer (prctl.c).
		"prctl",
		// What waits for children (wait.c).
		"wait3", "wait4", "waitid", "waitpid",
		// What executes a program (exec.c), and what must not come at the same time (setxid.c).
		"execl", "execle", "execlp", "execv", "execve", "execveat", "execvp", "execvpe", "fexecve", "initgroups", "setegid",
		"seteuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid",
		// To what the CPU time of before a restart is added (cpu_usage.c, cpu_until.c).
		"clock_nanosleep", "getrusage", "timer_settime", "times"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("exported symbols (-want +got):\n%s", diff)
	}
}

// oldestGlibc is what README promises for a library that is built on Debian 12.
const oldestGlibc = 34 // of 2.34

// TestSymbolVersions: the loader refuses a library that asks for symbols of a newer glibc.
func TestSymbolVersions(t *testing.T) {
	out, err := exec.Command("objdump", "-T", library(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	versions := regexp.MustCompile(`\(GLIBC_2\.(\d+)[.\d]*\)\s+(\S+)`).FindAllStringSubmatch(string(out), -1)
	if len(versions) == 0 {
		t.Fatalf("no versions in:\n%s", out)
	}
	for _, v := range versions {
		if minor, err := strconv.Atoi(v[1]); err != nil || minor > oldestGlibc {
			t.Errorf("%s is wanted of glibc 2.%s, newer than 2.%d", v[2], v[1], oldestGlibc)
		}
	}
}

// mayCall are the files that run outside of signal handlers: as the program starts, on behalf of a call that we interpose,
// and in an executed libcrak.so.
var mayCall = []string{"init.c", "pthread.c", "exec.c", "setxid.c", "next.c", "cpu_usage.c", "prctl.c", "wait.c",
	"entry_amd64.S", "load_writer.c"}

// TestHandlersCallNoLibrary compiles the C as make does and looks for what it leaves undefined.
func TestHandlersCallNoLibrary(t *testing.T) {
	sources, err := filepath.Glob("../*.[cS]")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	dir := t.TempDir()
	defined := []string{"_GLOBAL_OFFSET_TABLE_", "__ehdr_start", "__rseq_offset", "__rseq_size"} // data, the last two weak
	undefined := make(map[string][]string)
	for _, source := range sources {
		object := filepath.Join(dir, filepath.Base(source)+".o")
		out, err := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-fvisibility=hidden",
			"-I..", "-I../../internal/abi", "-c", "-o", object, source).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", source, err, out)
		}
		defined = append(defined, symbols(t, object, "--defined-only")...)
		if !slices.Contains(mayCall, filepath.Base(source)) {
			undefined[filepath.Base(source)] = symbols(t, object, "--undefined-only")
		}
	}
	for source, names := range undefined {
		for _, name := range names {
			if !slices.Contains(defined, name) {
				t.Errorf("%s calls %s, which is none of ours", source, name)
			}
		}
	}
}

func symbols(t *testing.T, object, which string) (names []string) {
	t.Helper()
	out, err := exec.Command("nm", which, object).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		names = append(names, f[len(f)-1])
	}
	return names
}

var signalSets = regexp.MustCompile(`(?m)^(SigBlk|SigIgn|SigCgt|Threads|ShdPnd|SigPnd|NoNewPrivs|Seccomp):\s+(\S+)`)

// TestCostsNothing: a program that has the library in it, and one that has not, look the same.
func TestCostsNothing(t *testing.T) {
	bare, with := look(t, false), look(t, true)
	const ours = 1<<(12-1) | 1<<(33-1) // SIGUSR2, and the freeze signal
	caught, err := strconv.ParseUint(with["SigCgt"], 16, 64)
	if err != nil || caught&ours != ours {
		t.Errorf("SigCgt %s: %v", with["SigCgt"], err)
	}
	was, _ := strconv.ParseUint(bare["SigCgt"], 16, 64)
	if caught&^ours != was&^ours {
		t.Errorf("handlers: %x with the library, %x without", caught, was)
	}
	delete(bare, "SigCgt")
	delete(with, "SigCgt")
	if with["Threads"] != "1" {
		t.Errorf("%s threads", with["Threads"])
	}
	if diff := cmp.Diff(bare, with); diff != "" {
		t.Errorf("the library makes a difference (-without +with):\n%s", diff)
	}
}

// look says what /proc has of a program that waits.
func look(t *testing.T, preloaded bool) map[string]string {
	t.Helper()
	s := start(t, preloaded, "wait")
	s.await("READY")
	seen := make(map[string]string)
	status := s.file("status")
	for _, m := range signalSets.FindAllStringSubmatch(status, -1) {
		seen[m[1]] = m[2]
	}
	fds, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(s.pid()), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		seen["descriptors"] += fd.Name() + " "
	}
	seen["timers"] = s.file("timers")
	seen["children"] = s.file("task/" + strconv.Itoa(s.pid()) + "/children")
	return seen
}

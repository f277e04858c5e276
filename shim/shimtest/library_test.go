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

// TestExports: every other exported symbol could replace a symbol of the program.
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
		// Functions that can make the first thread (pthread.c).
		"aio_fsync", "aio_fsync64", "aio_read", "aio_read64", "aio_write", "aio_write64", "getaddrinfo_a", "lio_listio",
		"lio_listio64", "mq_notify", "pthread_create", "thrd_create", "timer_create",
		// The function that names a tracer (prctl.c).
		"prctl",
		// The function by which threads may get the same alternate stack (altstack.c).
		"sigaltstack",
		// Functions that wait for children (wait.c).
		"wait3", "wait4", "waitid", "waitpid",
		// Functions that execute a program (exec.c), and those that must not run at the same time (setxid.c).
		"execl", "execle", "execlp", "execv", "execve", "execveat", "execvp", "execvpe", "fexecve", "initgroups", "setegid",
		"seteuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid",
		// Functions to which the library adds the CPU time from before a restart (cpu_usage.c, cpu_until.c).
		"clock_nanosleep", "getrusage", "timer_settime", "times"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("exported symbols (-want +got):\n%s", diff)
	}
}

// oldestGlibc is the version that README promises for a library that is built on Debian 12.
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

// mayCall are the files whose code runs outside of signal handlers: at the start of the program, in an interposed call, and in an
// executed libcrak.so.
var mayCall = []string{"init.c", "pthread.c", "exec.c", "setxid.c", "next.c", "cpu_usage.c", "prctl.c", "wait.c", "altstack.c",
	"entry_amd64.S", "load_writer.c"}

// TestHandlersCallNoLibrary compiles the C files as make does and checks their undefined symbols.
func TestHandlersCallNoLibrary(t *testing.T) {
	sources, err := filepath.Glob("../*.[cS]")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	dir := t.TempDir()
	defined := []string{"_GLOBAL_OFFSET_TABLE_", "__ehdr_start", "resident_end", "__rseq_offset", "__rseq_size"} // data, the last three weak
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

// TestCostsNothing: /proc shows the same for a program with the library and without it.
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

// look returns what /proc shows for a program that waits.
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

package host

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crak.dev/crak/image"
)

func TestRead(t *testing.T) {
	h, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if h.Kernel == "" || h.Machine == "" || len(h.CPUFeatures) == 0 || !slices.IsSorted(h.CPUFeatures) || len(h.VDSOSum) != 64 {
		t.Errorf("%+v", h)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || h.Kernel != strings.TrimSpace(string(release)) {
		t.Errorf("kernel %q, %q: %v", h.Kernel, release, err)
	}
}

// TestVDSO checks that two processes have the same vDSO.
func TestVDSO(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	in.Write([]byte("x"))
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has executed its file
		t.Fatal(err)
	}
	theirs, err := VDSO(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := VDSO(os.Getpid()); err != nil || !bytes.Equal(ours, theirs) || len(ours) == 0 {
		t.Errorf("%q, theirs %q: %v", ours, theirs, err)
	}
	if _, err := VDSO(1 << 30); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestCPUFeatures(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"first of two": {"processor\t: 0\nflags\t\t: sse2 fpu avx\n\nprocessor\t: 1\nflags\t\t: fpu\n", []string{"avx", "fpu", "sse2"}},
		"arm64":        {"Features\t: fp asimd\n", []string{"asimd", "fp"}},
		"none":         {"processor\t: 0\nflags\t\t:\n", []string{}},
		"absent":       {"processor\t: 0\n", nil},
	} {
		got, err := cpuFeatures(strings.NewReader(test.text))
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	if _, err := cpuFeatures(strings.NewReader("flags: " + strings.Repeat("x", 1<<17))); err == nil {
		t.Error("no error for a line that is too long")
	}
}

func TestMissing(t *testing.T) {
	want := image.Host{CPUFeatures: []string{"amx", "avx", "sse2"}}
	have := image.Host{CPUFeatures: []string{"avx", "fpu"}}
	if diff := cmp.Diff([]string{"amx", "sse2"}, Missing(want, have)); diff != "" {
		t.Error(diff)
	}
	if got := Missing(have, have); got != nil {
		t.Errorf("%q", got)
	}
}

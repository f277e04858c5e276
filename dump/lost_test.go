package dump

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// TestLost: each attribute that a thread would lose is refused by name.
func TestLost(t *testing.T) {
	for name, test := range map[string]struct {
		status proc.StatusInfo
		want   []string
	}{
		"nothing":      {proc.StatusInfo{UntagMask: ^uint64(0)}, nil},
		"old kernel":   {proc.StatusInfo{}, nil},
		"sandbox":      {proc.StatusInfo{Seccomp: 2}, []string{"seccomp filter"}},
		"shadow stack": {proc.StatusInfo{ThreadFeatures: "shstk wrss"}, []string{"shadow stack"}},
		"masked": {proc.StatusInfo{UntagMask: ^uint64(0) >> 7},
			[]string{"linear address masking (arch_prctl(2), ARCH_ENABLE_TAGGED_ADDR)"}},
	} {
		test.status.Pid = os.Getpid()
		m := &Member{Table: &fd.Table{}}
		m.refuseThread(7, lostOf(&test.status))
		var got []string
		for _, o := range m.obstacles {
			if o.Where != "thread 7" {
				t.Errorf("%s: where: %q", name, o.Where)
			}
			got = append(got, o.What)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFlusher(t *testing.T) {
	for flags, want := range map[uint64]int{0: 0, 1 << 20: 0, 1<<20 | 1<<19 | 1: 1} {
		m := &Member{Table: &fd.Table{}}
		m.refuseFlags(&proc.StatInfo{Flags: flags})
		if got := len(m.obstacles); got != want {
			t.Errorf("flags %#x: %d obstacles", flags, got)
		}
	}
}

// TestSpeculation uses the words of fs/proc/array.c.
func TestSpeculation(t *testing.T) {
	for words, want := range map[[2]string]image.Speculation{
		{"thread vulnerable", "conditional enabled"}:             {},
		{"globally mitigated", "always disabled"}:                {},
		{"not vulnerable", "not affected"}:                       {},
		{"thread mitigated", "conditional disabled"}:             {StoreBypass: unix.PR_SPEC_DISABLE, IndirectBranch: unix.PR_SPEC_DISABLE},
		{"thread force mitigated", "conditional force disabled"}: {StoreBypass: unix.PR_SPEC_FORCE_DISABLE, IndirectBranch: unix.PR_SPEC_FORCE_DISABLE},
		{"vulnerable", ""}:                                       {},
	} {
		if got := speculation(&proc.StatusInfo{StoreBypass: words[0], IndirectBranch: words[1]}); got != want {
			t.Errorf("%q: %+v", words, got)
		}
	}
}

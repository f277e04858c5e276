package proc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNumaPolicies(t *testing.T) {
	const sample = "00400000 default file=/usr/bin/cat mapped=2 N0=2 kernelpagesize_kB=4\n" +
		"7f844ef71000 prefer:0 file=/dev/zero\\040(deleted) dirty=16 active=0 N0=16 kernelpagesize_kB=4\n" +
		"7f844ef81000 interleave=static:0\n7f844efa1000 default\n"
	got, err := NumaPolicies(strings.NewReader(sample))
	if diff := cmp.Diff([]uint64{0x7f844ef71000, 0x7f844ef81000}, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	for _, broken := range []string{"x bind:0\n", "1000\n"} {
		if _, err := NumaPolicies(strings.NewReader(broken)); err == nil {
			t.Errorf("%q: no error", broken)
		}
	}
}

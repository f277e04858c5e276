package restore

import (
	"fmt"
	"os"
	"strings"

	"crak.dev/crak/internal/proc"
)

// adjust sets what is set by files in /proc. To lower oom_score_adj needs a capability: a failure is a notice.
func (g *group) adjust(m *member) {
	a := &m.process.Attributes
	g.set(m, "oom_score_adj", fmt.Sprint(a.OOMScoreAdj))
	g.set(m, "coredump_filter", fmt.Sprintf("%08x", a.CoredumpFilter))
}

func (g *group) set(m *member, name, want string) {
	path := proc.Path(m.seen, name)
	if have, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(have)) == want {
		return
	}
	if name == "coredump_filter" {
		want = "0x" + want
	}
	if err := os.WriteFile(path, []byte(want), 0); err != nil {
		g.env.Notice(fmt.Sprintf("pid %d: %s %s: %v", m.pid(), name, want, err))
	}
}

package restore

import (
	"testing"
	"time"

	"crak.dev/crak/restore/handmade"
)

// eventPatienceVariable sets eventPatience, and has deadlock look without patience, also in process 1 of a new PID namespace.
const eventPatienceVariable = "CRAK_TEST_EVENT_PATIENCE"

// TestSlowMembers: processes that run and wait for each other in turn are not taken for processes that wait for one that has ended, although
// crak looks at them all the time.
func TestSlowMembers(t *testing.T) {
	const patience = 100 * time.Microsecond
	t.Setenv(eventPatienceVariable, patience.String())
	was, whole := eventPatience, deadlockPatience
	eventPatience, deadlockPatience = patience, 0
	t.Cleanup(func() { eventPatience, deadlockPatience = was, whole })
	for _, mode := range modes(t) {
		for _, name := range []string{"orphan_deep", "subreaper", "zombie_leader"} {
			t.Run(string(mode)+"/"+name, func(t *testing.T) {
				for range 3 {
					t.Run("", func(t *testing.T) { runFamily(t, aPid(t), handmade.Families[name], mode) })
				}
			})
		}
	}
}

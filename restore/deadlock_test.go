package restore

import (
	"testing"
	"time"

	"crak.dev/crak/restore/handmade"
)

// pollTimeoutVariable sets pollTimeout, and sets deadlockTimeout to 0, also in process 1 of a new PID namespace.
const pollTimeoutVariable = "CRAK_TEST_POLL_TIMEOUT"

// TestSlowMembers: processes that run and wait for each other in turn are not taken for processes that wait for one that has ended, although
// crak looks at them all the time.
func TestSlowMembers(t *testing.T) {
	const timeout = 100 * time.Microsecond
	t.Setenv(pollTimeoutVariable, timeout.String())
	was, whole := pollTimeout, deadlockTimeout
	pollTimeout, deadlockTimeout = timeout, 0
	t.Cleanup(func() { pollTimeout, deadlockTimeout = was, whole })
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

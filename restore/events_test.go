package restore

import "testing"

// TestWakeOnce: wakeUp ends one wait. The next wait has a timeout again, after which the coordinator looks for processes that have ended.
func TestWakeOnce(t *testing.T) {
	e, err := newEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	e.wakeUp()
	e.wakeUp()
	for _, want := range []source{wake, eventTimeout} {
		if got, err := e.next(); err != nil || got != want {
			t.Errorf("event %d, %v; want %d", got, err, want)
		}
	}
}

package fd

import "testing"

// TestLocksOfFewFiles: /proc/locks is not read for a few files.
func TestLocksOfFewFiles(t *testing.T) {
	var l lockedInodes
	for range manyFiles {
		if !l.maybe(1) || l.known {
			t.Fatalf("locks are known: %v", l.known)
		}
	}
}

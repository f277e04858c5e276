package program

import "testing"

// TestFull has a set keep no more instructions than it has room for, but one for each program.
func TestFull(t *testing.T) {
	s := &Set{}
	for range 3 {
		b := s.Build("thread")
		for range MostInstructions / 2 {
			b.Call(0)
		}
		b.Jump(0, Area)
	}
	kept := 0
	for _, p := range s.Programs {
		kept += len(p.Instructions)
	}
	if !s.Full || kept > MostInstructions+len(s.Programs) {
		t.Errorf("%d instructions, full: %v", kept, s.Full)
	}
}

package fd

import "fmt"

// A Policy says what becomes of files that have been written to since the checkpoint. It is
// a flag of the command line.
type Policy string

const (
	Keep   Policy = "keep"   // a file open for writing that has only grown is taken as it is
	Rewind Policy = "rewind" // it is cut back to its size at the checkpoint
	Strict Policy = "strict" // any change is refused
)

// Set takes the policy's name.
func (p *Policy) Set(name string) error {
	switch Policy(name) {
	case Keep, Rewind, Strict:
		*p = Policy(name)
		return nil
	}
	return fmt.Errorf("%q is not keep, rewind or strict", name)
}

func (p *Policy) String() string { return string(*p) }

// Type is what the help calls the value.
func (p *Policy) Type() string { return "keep|rewind|strict" }

package fd

import "fmt"

// A Policy says what a restart does with files that have been written to since the checkpoint. It is a flag of the
// command line.
type Policy string

// The zero Policy is Keep, except that files come back of which the image has a copy (crak checkpoint --with-files). They come back
// with Rewind, too.
const (
	Keep   Policy = "keep"   // take a file that the program writes to as it is, if it is not shorter than it was
	Rewind Policy = "rewind" // cut it back to its size at the checkpoint; refuse it if other changes are possible
	Strict Policy = "strict" // refuse any change
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

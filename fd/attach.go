package fd

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// An Attach appends the system calls that restore what only a member can restore of a description. The member makes these calls
// when all its descriptors have their numbers. Every member that has the description makes them. If no member has it, because it is
// only in a queue, the root of the group makes them.
type Attach struct {
	*program.Builder

	Member      *image.Process
	Descriptors []image.Descriptor       // the member's descriptors of the description
	Numbers     map[int]image.Descriptor // all descriptors of the member, by number
	First       bool                     // the member is the first one that has the description: it does what is done once
	Others      int                      // members that get a description from the one that makes it

	// Placed is a descriptor of any description of the group. It is open until all descriptions are attached.
	Placed func(image.DescriptionID) program.Arg

	// Inside tells whether only the group can make a description ready: see the function Inside.
	Inside func(image.DescriptionID) bool

	// Exist waits until all processes and threads of the group exist, and all zombies have ended.
	Exist func()

	// Ended makes a process that ends with a wait status, and reaps it. do appends system calls that come before the end of the process.
	Ended func(status uint32, do func(pid program.Arg))

	// AtGo calls do later. The system calls that do appends come after crak has told the member to go. They must not fail. At
	// that time the member has only its own descriptors.
	AtGo func(do func())
}

// Attaches tells whether a description has an attach.
func Attaches(d image.Description) bool {
	k, err := kindNamed(d.Kind)
	return err == nil && k.attach != nil
}

// Asks returns the process that asks for something at the go of a restart, before any process runs the program. It is 0 if none does.
func Asks(d image.Description) image.Pid {
	k, err := kindNamed(d.Kind)
	if err != nil || k.asks == nil {
		return 0
	}
	return k.asks(d)
}

// Attach calls the function attach of the description's kind.
func (a *Attach) Attach(d image.Description) error {
	k, err := kindNamed(d.Kind)
	switch {
	case err != nil || k.attach == nil:
		return err
	case !a.First && k.byMember != nil && k.byMember(d):
		a.receive(d)
		return nil
	}
	return k.attach(d, a)
}

// CloseOnExec is the flag of dup3(2) for a descriptor.
func CloseOnExec(d image.Descriptor) int { return choose(d.CloseOnExec, unix.O_CLOEXEC, 0) }

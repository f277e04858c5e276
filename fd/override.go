package fd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// An Override is what the image has in place of a descriptor. The program itself keeps the descriptor.
type Override string

const (
	LeaveOut Override = "close" // nothing
	DevNull  Override = "null"  // /dev/null
)

// Overrides are the choices of the user, by descriptor number. Each is a flag on the command line: "251=close".
type Overrides map[int]Override

// Set adds a choice.
func (o *Overrides) Set(text string) error {
	digits, choice, _ := strings.Cut(text, "=")
	number, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || Override(choice) != LeaveOut && Override(choice) != DevNull {
		return fmt.Errorf("%q is neither N=close nor N=null, where N is a descriptor's number", text)
	}
	if *o == nil {
		*o = make(Overrides)
	}
	(*o)[int(number)] = Override(choice)
	return nil
}

func (o *Overrides) String() string {
	var all []string
	for _, number := range slices.Sorted(maps.Keys(*o)) {
		all = append(all, fmt.Sprintf("%d=%s", number, (*o)[number]))
	}
	return strings.Join(all, ",")
}

// Type is what the help calls the value.
func (o *Overrides) Type() string { return "N=close|null" }

// missing is an error if a choice is for a descriptor that is not open: the user may have mistyped the number.
func (o Overrides) missing(all []*slot) error {
	for _, number := range slices.Sorted(maps.Keys(o)) {
		if !slices.ContainsFunc(all, func(s *slot) bool { return s.fd == number }) {
			return fmt.Errorf("fd %d: not open, so --fd %d=%s has no effect", number, number, o[number])
		}
	}
	return nil
}

// nullDevice is the description for the Override DevNull.
func nullDevice(o *open) *taken {
	const minor = 3
	return &taken{
		description: image.Description{Kind: device.name, Flags: o.flags & unix.O_ACCMODE},
		record:      &Device{Path: statelessDevices[minor], Minor: minor},
	}
}

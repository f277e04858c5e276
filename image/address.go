package image

import (
	"fmt"
	"strconv"
)

// An Address is an address in the address space of a process. In JSON it is a string "0x…".
type Address uint64

func (a Address) String() string { return "0x" + strconv.FormatUint(uint64(a), 16) }

// MarshalText writes the address as "0x" and hexadecimal digits.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses the output of MarshalText.
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	if len(s) < 3 || s[:2] != "0x" {
		return fmt.Errorf("address %q: does not begin with 0x", s)
	}
	n, err := strconv.ParseUint(s[2:], 16, 64)
	if err != nil {
		return fmt.Errorf("address %q: not hexadecimal", s)
	}
	*a = Address(n)
	return nil
}

// Package sysname names system calls: 35 is "nanosleep" on amd64.
package sysname

import "strconv"

// Of is the name of a system call, or "call 9999" for a number without a name.
func Of(number int64) string {
	if number >= 0 && number < int64(len(names)) && names[number] != "" {
		return names[number]
	}
	return "call " + strconv.FormatInt(number, 10)
}

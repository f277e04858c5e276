package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Device is the record of a character device that has no state: /dev/null, zero, full, random and urandom.
type Device struct {
	Path  string `json:"path"`
	Minor uint32 `json:"minor"` // its major is 1 (Linux's Documentation/admin-guide/devices.txt)
}

const memoryMajor = 1

// statelessDevices are the minors of major 1 that any process may share, by their usual paths.
var statelessDevices = map[uint32]string{
	3: "/dev/null",
	5: "/dev/zero",
	7: "/dev/full",
	8: "/dev/random",
	9: "/dev/urandom",
}

var device = kind{
	name: "device",
	is: func(o *open) bool {
		major, minor := o.rdev()
		return o.format() == unix.S_IFCHR && major == memoryMajor && statelessDevices[minor] != ""
	},
	capture: func(c *capture, o *open) (any, error) {
		_, minor := o.rdev()
		path, _ := c.where(o)
		return &Device{Path: path, Minor: minor}, nil
	},
	describe: func(d image.Description) string {
		r, _ := record[Device](d)
		return r.Path
	},
	check: func(d image.Description, env *Env) obstacle.List {
		r, err := record[Device](d)
		if err != nil {
			return broken(err)
		}
		if _, err := r.find(); err != nil {
			return obstacle.List{{What: r.Path, Why: err.Error(), Do: "restart on a machine, or in a container, that has this device in /dev"}}
		}
		return nil
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Device](d)
		if err != nil {
			return nil, err
		}
		path, err := r.find()
		if err != nil {
			return nil, err
		}
		return openAt(path, d.Flags, r.matches)
	},
}

// find returns the path of the device: the recorded one or, if the program had its own /dev, the usual one.
func (r Device) find() (string, error) {
	for _, path := range []string{r.Path, statelessDevices[r.Minor]} {
		f, st, err := find(path)
		if err != nil {
			continue
		}
		f.Close()
		if r.matches(st) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no character device %d:%d there", memoryMajor, r.Minor)
}

// matches is an error unless the file is the device.
func (r Device) matches(st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(memoryMajor, r.Minor) {
		return fmt.Errorf("not the character device %d:%d", memoryMajor, r.Minor)
	}
	return nil
}

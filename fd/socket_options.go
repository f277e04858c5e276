package fd

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A socketOption is an option of setsockopt(2), with a value of 32-bit words.
type socketOption struct {
	level, number int
	words         int
	half          bool // setsockopt takes half of the value that getsockopt returns
	force         int  // the option with which root sets a value above the limit of ordinary users; 0: there is none
}

// An optionTable has options by their names in an image.
type optionTable map[string]socketOption

// Options of unix(7) and socket(7) for which golang.org/x/sys/unix has no constants.
const (
	soPassPidfd  = 76
	soPassRights = 83
)

// socketOptions are the options that every socket has (socket(7)).
var socketOptions = optionTable{
	"broadcast":    {unix.SOL_SOCKET, unix.SO_BROADCAST, 1, false, 0},
	"busy_poll":    {unix.SOL_SOCKET, unix.SO_BUSY_POLL, 1, false, 0},
	"debug":        {unix.SOL_SOCKET, unix.SO_DEBUG, 1, false, 0},
	"dont_route":   {unix.SOL_SOCKET, unix.SO_DONTROUTE, 1, false, 0},
	"keep_alive":   {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, false, 0},
	"linger":       {unix.SOL_SOCKET, unix.SO_LINGER, 2, false, 0},
	"mark":         {unix.SOL_SOCKET, unix.SO_MARK, 1, false, 0},
	"oob_inline":   {unix.SOL_SOCKET, unix.SO_OOBINLINE, 1, false, 0},
	"pass_cred":    {unix.SOL_SOCKET, unix.SO_PASSCRED, 1, false, 0},
	"pass_pidfd":   {unix.SOL_SOCKET, soPassPidfd, 1, false, 0},
	"pass_rights":  {unix.SOL_SOCKET, soPassRights, 1, false, 0},
	"pass_sec":     {unix.SOL_SOCKET, unix.SO_PASSSEC, 1, false, 0},
	"peek_off":     {unix.SOL_SOCKET, unix.SO_PEEK_OFF, 1, false, 0},
	"priority":     {unix.SOL_SOCKET, unix.SO_PRIORITY, 1, false, 0},
	"rcvbuf":       {unix.SOL_SOCKET, unix.SO_RCVBUF, 1, true, unix.SO_RCVBUFFORCE},
	"rcvlowat":     {unix.SOL_SOCKET, unix.SO_RCVLOWAT, 1, false, 0},
	"rcvtimeo":     {unix.SOL_SOCKET, unix.SO_RCVTIMEO, 4, false, 0},
	"reuse_addr":   {unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, false, 0},
	"reuse_port":   {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, false, 0},
	"sndbuf":       {unix.SOL_SOCKET, unix.SO_SNDBUF, 1, true, unix.SO_SNDBUFFORCE},
	"sndtimeo":     {unix.SOL_SOCKET, unix.SO_SNDTIMEO, 4, false, 0},
	"timestamp":    {unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1, false, 0},
	"timestamping": {unix.SOL_SOCKET, unix.SO_TIMESTAMPING, 1, false, 0},
	"timestampns":  {unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1, false, 0},
}

// get returns the value of an option. It is nil if this socket, or this kernel, does not have the option.
func (s socketOption) get(socket int) []int32 {
	value := make([]int32, s.words)
	if !s.read(socket, value) {
		return nil
	}
	return value
}

func (s socketOption) read(socket int, value []int32) bool {
	length := uint32(4 * len(value))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(socket), uintptr(s.level), uintptr(s.number),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&length)), 0)
	return errno == 0
}

func (s socketOption) set(socket int, value []int32) error {
	if s.half {
		value = []int32{value[0] / 2}
	}
	err := s.put(socket, s.number, value)
	if s.force != 0 && err == nil && !slices.Equal(s.get(socket), []int32{value[0] * 2}) {
		err = s.put(socket, s.force, value)
	}
	return err
}

func (s socketOption) put(socket, number int, value []int32) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(socket), uintptr(s.level), uintptr(number),
		uintptr(unsafe.Pointer(&value[0])), uintptr(4*len(value)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// usualOptions are the options of a new socket, without those that this kernel, or this kind of socket, does not have.
type usualOptions struct {
	options    []usualOption
	congestion string // TCP_CONGESTION
}

type usualOption struct {
	socketOption
	name  string
	value []int32
}

// usual looks at a new socket, once for each kind of socket. An option that several tables have is in the result once.
func (c *capture) usual(kind string, create func() (*os.File, error), tables ...optionTable) (*usualOptions, error) {
	if u := c.usualOptions[kind]; u != nil {
		return u, nil
	}
	fresh, err := create()
	if err != nil {
		return nil, fmt.Errorf("a socket like it: %w", err)
	}
	defer fresh.Close()
	socket := int(fresh.Fd())
	u := new(usualOptions)
	known := make(map[string]bool)
	for _, table := range tables {
		for name, option := range table {
			if value := option.get(socket); value != nil && !known[name] {
				u.options = append(u.options, usualOption{option, name, value})
				known[name] = true
			}
		}
	}
	u.congestion, _ = unix.GetsockoptString(socket, unix.SOL_TCP, unix.TCP_CONGESTION)
	if c.usualOptions == nil {
		c.usualOptions = make(map[string]*usualOptions)
	}
	c.usualOptions[kind] = u
	return u, nil
}

// changed returns the options of a socket that differ from those of a new one.
func (u *usualOptions) changed(socket int) map[string][]int32 {
	changed := make(map[string][]int32)
	var buffer [8]int32
	for i := range u.options {
		option := &u.options[i]
		value := buffer[:option.words]
		clear(value)
		if option.read(socket, value) && !slices.Equal(value, option.value) {
			changed[option.name] = slices.Clone(value)
		}
	}
	return changed
}

// value returns the value of an option. It is nil if a new socket does not have the option.
func (u *usualOptions) value(name string) []int32 {
	for i := range u.options {
		if u.options[i].name == name {
			return u.options[i].value
		}
	}
	return nil
}

// checkOptions checks options from an image.
func checkOptions(options map[string][]int32, tables ...optionTable) error {
	for name, value := range options {
		if option, known := optionNamed(name, tables); !known || len(value) != option.words {
			return fmt.Errorf("socket option %.40q with %d words is not known", name, len(value))
		}
	}
	return nil
}

func optionNamed(name string, tables []optionTable) (option socketOption, known bool) {
	for _, table := range tables {
		if option, known = table[name]; known {
			break
		}
	}
	return option, known
}

// setOptions sets the options of a socket that are in the tables. If only root may make a buffer as large as it was, a notice tells its
// new size.
func setOptions(socket int, options map[string][]int32, env *Env, tables ...optionTable) error {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		option, known := optionNamed(name, tables)
		if !known {
			continue
		}
		err := option.set(socket, options[name])
		switch {
		case err == unix.EPERM && option.force != 0:
			env.Tell(fmt.Sprintf("a socket's %s is %d bytes now, not %d: ordinary users may not set more",
				name, option.get(socket)[0], options[name][0]))
		case err != nil:
			return fmt.Errorf("socket option %s: %w", name, err)
		}
	}
	return nil
}

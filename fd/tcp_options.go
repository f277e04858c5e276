package fd

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Options of tcp(7) and socket(7) that golang.org/x/sys/unix has no constants for.
const (
	tcpTxDelay = 37
	soBufLock  = 72 // SO_BUF_LOCK, since Linux 5.15
)

// Bits of SO_BUF_LOCK: the program has set SO_SNDBUF or SO_RCVBUF, so the kernel does not change the size itself.
const lockSend, lockReceive = 1, 2

// tcpOptions are options that a TCP socket has in every state.
var tcpOptions = optionTable{
	"tcp_cork":           {unix.SOL_TCP, unix.TCP_CORK, 1, false, 0},
	"tcp_defer_accept":   {unix.SOL_TCP, unix.TCP_DEFER_ACCEPT, 1, false, 0},
	"tcp_inq":            {unix.SOL_TCP, unix.TCP_INQ, 1, false, 0},
	"tcp_keep_count":     {unix.SOL_TCP, unix.TCP_KEEPCNT, 1, false, 0},
	"tcp_keep_idle":      {unix.SOL_TCP, unix.TCP_KEEPIDLE, 1, false, 0},
	"tcp_keep_interval":  {unix.SOL_TCP, unix.TCP_KEEPINTVL, 1, false, 0},
	"tcp_linger":         {unix.SOL_TCP, unix.TCP_LINGER2, 1, false, 0},
	"tcp_no_delay":       {unix.SOL_TCP, unix.TCP_NODELAY, 1, false, 0},
	"tcp_not_sent_low":   {unix.SOL_TCP, unix.TCP_NOTSENT_LOWAT, 1, false, 0},
	"tcp_syn_count":      {unix.SOL_TCP, unix.TCP_SYNCNT, 1, false, 0},
	"tcp_thin_linear":    {unix.SOL_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1, false, 0},
	"transmit_rehash":    {unix.SOL_SOCKET, unix.SO_TXREHASH, 1, false, 0},
	"tcp_transmit_delay": {unix.SOL_TCP, tcpTxDelay, 1, false, 0},
	"tcp_user_timeout":   {unix.SOL_TCP, unix.TCP_USER_TIMEOUT, 1, false, 0},
}

// tcpNewOptions can be set only while a socket is not connected. On a connection the kernel shows other values.
var tcpNewOptions = optionTable{
	"incoming_cpu":            {unix.SOL_SOCKET, unix.SO_INCOMING_CPU, 1, false, 0},
	"tcp_fast_open":           {unix.SOL_TCP, unix.TCP_FASTOPEN, 1, false, 0},
	"tcp_fast_open_connect":   {unix.SOL_TCP, unix.TCP_FASTOPEN_CONNECT, 1, false, 0},
	"tcp_fast_open_no_cookie": {unix.SOL_TCP, unix.TCP_FASTOPEN_NO_COOKIE, 1, false, 0},
	"tcp_max_segment":         {unix.SOL_TCP, unix.TCP_MAXSEG, 1, false, 0},
	"tcp_save_syn":            {unix.SOL_TCP, unix.TCP_SAVE_SYN, 1, false, 0},
	"tcp_window_clamp":        {unix.SOL_TCP, unix.TCP_WINDOW_CLAMP, 1, false, 0},
}

// tcpTables are the tables of options that a record of a TCP socket may have.
var tcpTables = []optionTable{bindOptions, socketOptions, inetOptions, tcpOptions, tcpNewOptions}

// tcpAsked are the options that a TCP socket is asked for. The sizes of the buffers matter only if the program has set them (SO_BUF_LOCK).
var tcpAsked = []optionTable{bindOptions, without(socketOptions, "sndbuf", "rcvbuf"), inetOptions, tcpOptions}

// tcpNotShown are those of them that sock_diag(7) does not show.
var tcpNotShown = []optionTable{without(bindOptions, shown...), tcpAsked[1], without(inetOptions, shown...), tcpOptions}

var shown = append(slices.Collect(maps.Keys(inetShown)), "ip_tos")

func without(table optionTable, names ...string) optionTable {
	rest := maps.Clone(table)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// isShown tells whether sock_diag(7) has shown some options of a socket.
func (s *inetSocket) isShown() bool {
	return s != nil && s.options&inetConnectable != 0 && s.congestion != ""
}

// usualTCP returns the options of a new TCP socket that the socket is to be asked for, and those of tcpNewOptions.
func (c *capture) usualTCP(family int, s *inetSocket) (asked, ofNew *usualOptions, err error) {
	create := func() (*os.File, error) { return newTCP(family) }
	if s.isShown() {
		asked, err = c.usual(fmt.Sprint("TCP not shown ", family), create, tcpNotShown...)
	} else {
		asked, err = c.usual(fmt.Sprint("TCP ", family), create, tcpAsked...)
	}
	if err != nil {
		return nil, nil, err
	}
	ofNew, err = c.usual(fmt.Sprint("new TCP ", family), create, tcpNewOptions)
	return asked, ofNew, err
}

// readOptions reads the options that setsockopt(2) can set.
func (t *tcpReading) readOptions(socket int, connected bool) (err error) {
	if on, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR); err == nil && on != 0 {
		return fmt.Errorf("it is in repair mode (TCP_REPAIR)")
	}
	r := t.record
	r.Options = t.usual.changed(socket)
	if !connected {
		maps.Copy(r.Options, t.usualNew.changed(socket))
	}
	if err := noIPOptions(r.Family, socket); err != nil {
		return err
	}
	var congestion string
	if s := t.of.inet; s.isShown() {
		congestion, err = t.addShown(socket)
	} else {
		congestion, err = t.askMore(socket)
	}
	if err != nil {
		return err
	}
	if congestion != t.usual.congestion {
		r.Congestion = congestion
	}
	if r.Options["ip_tos"] != nil { // setting it changes the priority
		r.Options["priority"] = socketOptions["priority"].get(socket)
	}
	locks, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, soBufLock)
	if err != nil {
		return fmt.Errorf("SO_BUF_LOCK: %w", err)
	}
	for name, lock := range map[string]int{"sndbuf": lockSend, "rcvbuf": lockReceive} {
		if locks&lock != 0 {
			r.Options[name] = socketOptions[name].get(socket)
		}
	}
	if locked, err := isLocked(socket); err != nil || locked {
		return cmp.Or(err, errors.New("its filter is locked (SO_LOCK_FILTER)"))
	}
	r.Filter, err = filterOf(socket)
	return err
}

// addShown adds the options that sock_diag(7) has shown. The result is TCP_CONGESTION.
func (t *tcpReading) addShown(socket int) (congestion string, err error) {
	s, r := t.of.inet, t.record
	for name, bit := range inetShown {
		if s.options&bit != 0 {
			r.Options[name] = []int32{1}
		}
	}
	if s.tos != 0 {
		r.Options["ip_tos"] = []int32{int32(s.tos)}
	}
	if s.layered {
		return "", errLayered
	}
	if s.device != 0 {
		r.Device, err = boundDevice(socket)
	}
	return s.congestion, err
}

// askMore asks for what sock_diag(7) would have shown and is not in tcpAsked.
func (t *tcpReading) askMore(socket int) (congestion string, err error) {
	if name, err := unix.GetsockoptString(socket, unix.SOL_TCP, unix.TCP_ULP); err == nil && name != "" {
		return "", errLayered
	}
	if t.record.Device, err = boundDevice(socket); err != nil || t.usual.congestion == "" {
		return "", err
	}
	congestion, err = unix.GetsockoptString(socket, unix.SOL_TCP, unix.TCP_CONGESTION)
	return congestion, os.NewSyscallError("TCP_CONGESTION", err)
}

var errLayered = errors.New("it has an upper layer protocol (TCP_ULP)")

func boundDevice(socket int) (string, error) {
	name, err := unix.GetsockoptString(socket, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	return name, os.NewSyscallError("SO_BINDTODEVICE", err)
}

// setBindOptions sets the options on which bind(2), listen(2) and connect(2) depend.
func (r *TCPSocket) setBindOptions(socket int, env *Env) error {
	if r.Device != "" {
		if err := unix.BindToDevice(socket, r.Device); err != nil {
			return fmt.Errorf("network interface %.20q: %w", r.Device, err)
		}
	}
	return setOptions(socket, r.Options, env, bindOptions)
}

// setOptions sets all options. Preconditions: all connections have been made.
func (r *TCPSocket) setOptions(socket int, env *Env) error {
	// crak may have set these two options to bind the socket and to fill its queue.
	for _, number := range []int{unix.SO_REUSEADDR, soBufLock} {
		if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, number, 0); err != nil {
			return fmt.Errorf("socket option %d: %w", number, err)
		}
	}
	for _, table := range tcpTables[1:] {
		if err := setOptions(socket, r.Options, env, table); err != nil {
			return err
		}
	}
	if priority := r.Options["priority"]; priority != nil { // ip_tos has changed it
		if err := socketOptions["priority"].set(socket, priority); err != nil {
			return fmt.Errorf("socket option priority: %w", err)
		}
	}
	if r.Congestion != "" {
		if err := unix.SetsockoptString(socket, unix.SOL_TCP, unix.TCP_CONGESTION, r.Congestion); err != nil {
			env.Tell(fmt.Sprintf("a TCP socket does not have its congestion control %.20q any more: %v", r.Congestion, err))
		}
	}
	if len(r.Filter) > 0 {
		if err := r.Filter.attach(socket); err != nil {
			return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
		}
	}
	return nil
}

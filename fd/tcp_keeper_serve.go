package fd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/firewall"
)

// keeperServer is the state of the keeper's process.
type keeperServer struct {
	user   uint32
	task   KeeperTask
	rights ownRights
	held   map[firewall.Connection]bool       // look has read these connections
	made   map[firewall.Connection]*TCPSocket // putBack has made these connections
}

// ServeKeeper answers requests until the other end of the socket is closed.
func ServeKeeper(socket int, user uint32, task KeeperTask) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	s := &keeperServer{user: user, task: task, held: make(map[firewall.Connection]bool), made: make(map[firewall.Connection]*TCPSocket)}
	defer s.releaseAll()
	for {
		var request keeperRequest
		files, err := receiveFrom(socket, &request)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		reply, answer, err := s.answer(&request, files)
		closeFiles(files)
		var fds []int
		if err != nil {
			reply = keeperReply{Error: err.Error(), Passes: passes(err)}
		} else if answer != nil {
			fds = []int{int(answer.Fd())}
		}
		err = sendTo(socket, &reply, fds)
		if answer != nil {
			answer.Close()
		}
		if err != nil {
			return err
		}
	}
}

func (s *keeperServer) releaseAll() {
	var all []firewall.Connection
	for ends := range s.held {
		all = append(all, ends)
	}
	for ends := range s.made {
		all = append(all, ends)
	}
	if len(all) > 0 {
		_ = s.rights.release(all)
	}
}

func (s *keeperServer) answer(r *keeperRequest, files []*os.File) (reply keeperReply, answer *os.File, err error) {
	ends := normal(firewall.Connection{Own: r.Own, Peer: r.Peer})
	withSocket := r.Do == keeperLook || r.Do == keeperLeave
	switch {
	case !slices.Contains(s.task.requests(), r.Do) && r.Do != keeperRelease:
		return reply, nil, fmt.Errorf("keeper: no request %q at this time", r.Do)
	case withSocket && len(files) != 1:
		return reply, nil, errors.New("keeper: no socket")
	}
	switch r.Do {
	case keeperLook:
		return s.look(int(files[0].Fd()))
	case keeperLeave:
		err = s.leave(int(files[0].Fd()), r.Image)
	case keeperHold:
		err = s.hold(ends, r.Image)
	case keeperRelease:
		err = s.release(ends)
	case keeperCheck:
		err = s.check(ends)
	case keeperMake:
		answer, err = s.make(r, files)
	case keeperResume:
		record := s.made[ends]
		if record == nil {
			return reply, nil, fmt.Errorf("keeper: no connection %s", ends)
		}
		delete(s.made, ends)
		err = s.rights.resume(record)
	default:
		err = fmt.Errorf("keeper: no request %.20q", r.Do)
	}
	return reply, answer, err
}

// normal has the addresses in the form in which the firewall compares them.
func normal(c firewall.Connection) firewall.Connection {
	return firewall.Connection{Own: plain(c.Own), Peer: plain(c.Peer)}
}

// look reads the state of a connection. The program runs on if it disobeys CRAK, and can use the socket at the same time: in repair mode it
// could make a connection that the peer does not know. So look checks the socket again at the end, and gives up a connection that has
// changed.
func (s *keeperServer) look(socket int) (reply keeperReply, answer *os.File, err error) {
	ends, err := connectionOf(socket)
	if err != nil {
		return reply, nil, err
	}
	reply.Outside, answer, reply.Size, err = s.read(socket, ends)
	if off := endRepair(socket); off != nil {
		err = errors.Join(err, off)
	}
	if again, changed := connectionOf(socket); changed != nil || again != ends {
		disconnect(socket)
		err = errors.Join(err, errors.New("the program has changed it during the checkpoint"))
	}
	if err != nil {
		if answer != nil {
			answer.Close()
		}
		return reply, nil, errors.Join(err, s.release(ends))
	}
	return reply, answer, nil
}

func (s *keeperServer) read(socket int, ends firewall.Connection) (*TCPOutside, *os.File, int, error) {
	if err := firewall.Hold([]firewall.Connection{ends}, pauseMost, s.user, ""); err != nil {
		return nil, nil, 0, fmt.Errorf("crak cannot drop its packets during the checkpoint: %w", err)
	}
	s.held[ends] = true
	if again, err := connectionOf(socket); err != nil || again != ends {
		return nil, nil, 0, errors.New("it has changed")
	}
	state, content, err := readOutside(socket)
	if err != nil {
		return nil, nil, 0, err
	}
	memory, err := memoryWith(content)
	return state, memory, len(content), err
}

func (s *keeperServer) leave(socket int, image string) error {
	ends, err := connectionOf(socket)
	if err == nil && !s.held[ends] {
		err = fmt.Errorf("keeper: no connection %s", ends)
	}
	if err == nil {
		err = firewall.Hold([]firewall.Connection{ends}, 0, s.user, image)
	}
	if err == nil {
		delete(s.held, ends)
	}
	return err
}

// hold drops the packets of a connection that an image names. Root has asked for this image, but the user may have written anything into it.
func (s *keeperServer) hold(ends firewall.Connection, image string) error {
	if !ends.Own.IsValid() || !ends.Peer.IsValid() || ends.Own.Addr().Is4() != ends.Peer.Addr().Is4() {
		return errors.New("keeper: not a connection")
	}
	if first, err := firstUnprivileged(); err != nil || int(ends.Own.Port()) < first {
		return errors.Join(err, fmt.Errorf("%s: user %d may not use port %d", ends, s.user, ends.Own.Port()))
	}
	if other, err := firewall.HeldForOther(ends, s.user); err != nil || other {
		return errors.Join(err, fmt.Errorf("%s: its packets are dropped for another user", ends))
	}
	all, err := inetSockets(unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	for _, one := range all {
		if normal(firewall.Connection{Own: one.own, Peer: one.peer}) == ends {
			return fmt.Errorf("%s: this machine has this connection", ends)
		}
	}
	return firewall.Hold([]firewall.Connection{ends}, 0, s.user, image)
}

// firstUnprivileged is the first port that an ordinary user may use.
func firstUnprivileged() (port int, err error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err == nil {
		_, err = fmt.Sscan(string(text), &port)
	}
	return port, err
}

// release lets the packets of a connection through, if they are dropped because of this user's program.
func (s *keeperServer) release(ends firewall.Connection) error {
	held, err := firewall.HeldFor(ends, s.user)
	if err != nil || !held {
		return err
	}
	delete(s.held, ends)
	delete(s.made, ends)
	return s.rights.release([]firewall.Connection{ends})
}

func (s *keeperServer) check(ends firewall.Connection) error {
	held, err := firewall.HeldFor(ends, s.user)
	if err == nil && !held {
		err = fmt.Errorf("root's crak makes it anew for user %d only if crak checkpoint --kill, run by root on this machine, has ended the program, or after crak hold, run by root", s.user)
	}
	return err
}

// make makes a connection of an image.
func (s *keeperServer) make(request *keeperRequest, files []*os.File) (*os.File, error) {
	content, err := contentOf(files, request.Size)
	if err != nil {
		return nil, err
	}
	given, err := tcpRecord(image.Object{ID: 1, Record: request.Record, Size: uint64(len(content))})
	if err == nil && (given.Outside == nil || given.Over || given.Reconnect) {
		err = errors.New("keeper: not a connection to a process outside")
	}
	if err != nil {
		return nil, err
	}
	r, ends := given.outsideOnly(), normal(given.ends())
	if err := s.check(ends); err != nil {
		return nil, err
	}
	file, err := r.putBack(content, &Env{})
	if err == nil {
		s.made[ends] = r
	}
	return file, err
}

// connectionOf returns the addresses of a connection, if the socket is one of TCP in this network namespace, and connected.
func connectionOf(socket int) (ends firewall.Connection, err error) {
	for option, want := range map[int]int{unix.SO_TYPE: unix.SOCK_STREAM, unix.SO_PROTOCOL: unix.IPPROTO_TCP} {
		if is, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, option); err != nil || is != want {
			return ends, errors.New("keeper: not a TCP socket")
		}
	}
	if here, err := isOfThisNetwork(socket); err != nil || !here {
		return ends, errors.Join(errors.New("it is in another network namespace than crak"), err)
	}
	info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return ends, os.NewSyscallError("TCP_INFO", err)
	}
	if info.State != unix.BPF_TCP_ESTABLISHED && !halfStates[info.State] {
		return ends, passing(fmt.Sprintf("it is in state %d (TCP_INFO)", info.State))
	}
	own, err := ownAddress(socket)
	if err != nil {
		return ends, os.NewSyscallError("getsockname", err)
	}
	peer, err := peerAddress(socket)
	if err != nil {
		return ends, os.NewSyscallError("getpeername", err)
	}
	ends = normal(firewall.Connection{Own: own.inet(), Peer: peer.inet()})
	if !ends.Own.IsValid() || !ends.Peer.IsValid() {
		return ends, errors.New("keeper: not a socket of IPv4 or IPv6")
	}
	return ends, nil
}

// isOfThisNetwork tells whether a socket is in the network namespace of this process.
func isOfThisNetwork(socket int) (bool, error) {
	theirs, err := unix.IoctlRetInt(socket, unix.SIOCGSKNS)
	if err != nil {
		return false, os.NewSyscallError("SIOCGSKNS", err)
	}
	defer unix.Close(theirs)
	var of, ours unix.Stat_t
	if err := errors.Join(unix.Fstat(theirs, &of), unix.Stat("/proc/self/ns/net", &ours)); err != nil {
		return false, err
	}
	return of.Dev == ours.Dev && of.Ino == ours.Ino, nil
}

// endRepair ends the repair mode. The kernel refuses that for a listening socket, and the program can let the socket listen meanwhile.
func endRepair(socket int) (err error) {
	for range 10000 {
		if err = repair(socket, repairOffQuietly); err == nil {
			return nil
		}
		disconnect(socket)
	}
	return err
}

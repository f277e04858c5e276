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

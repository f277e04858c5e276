package restore

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/restore/compile"
)

// An innerMessage is a message between crak and the crak that restarts the image in a new PID namespace. One field is set.
type innerMessage struct {
	Request   *innerRequest    `json:"request,omitempty"`
	Go        bool             `json:"go,omitempty"`
	Notice    string           `json:"notice,omitempty"`
	Exists    bool             `json:"exists,omitempty"` // pidfds come with it: of the root, and of the member in the foreground
	Runs      bool             `json:"runs,omitempty"`
	Changed   *unix.WaitStatus `json:"changed,omitempty"`
	Failed    string           `json:"failed,omitempty"`
	Obstacles obstacle.List    `json:"obstacles,omitempty"`
}

type innerRequest struct {
	Image         string              `json:"image"`
	Detach        bool                `json:"detach"`
	Files         fd.Policy           `json:"files"`
	Force         bool                `json:"force"`
	Changes       fd.Changes          `json:"changes"`
	UserNamespace bool                `json:"user_namespace"`
	First         bool                `json:"first"` // the program was process 1
	GroupChoice   compile.GroupChoice `json:"group_choice"`

	PrivateNetwork bool `json:"private_network"` // the first crak has made the network namespace of the group, and both are in it
}

func (o *Options) request(user, first bool, choice compile.GroupChoice) *innerRequest {
	return &innerRequest{Image: o.Image, Detach: o.Detach, Files: o.Files, Force: o.Force, Changes: o.Changes, UserNamespace: user, First: first, GroupChoice: choice}
}

// A wire is a socket that carries innerMessages, one in each packet.
type wire struct{ socket *os.File }

const wireMost = 1 << 16 // bytes in a packet

func (w *wire) close() { w.socket.Close() }

func (w *wire) send(m innerMessage) error { return w.sendWith(m, nil) }

func (w *wire) sendWith(m innerMessage, rights []byte) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = unix.Sendmsg(int(w.socket.Fd()), text, rights, nil, unix.MSG_NOSIGNAL)
	}
	if err != nil {
		return fmt.Errorf("namespace socket: %w", err)
	}
	return nil
}

// sendPidfds sends a message with pidfds of processes.
func (w *wire) sendPidfds(m innerMessage, pids ...int) error {
	var pidfds []int
	for _, pid := range pids {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return fmt.Errorf("pid %d: pidfd_open: %w", pid, err)
		}
		defer unix.Close(pidfd)
		pidfds = append(pidfds, pidfd)
	}
	return w.sendWith(m, unix.UnixRights(pidfds...))
}

func (w *wire) receive() (m innerMessage, pidfds []int, err error) { return w.receiveBy(0) }

// receiveBy receives a message with flags of recvmsg(2). It returns io.EOF when the other end is closed.
func (w *wire) receiveBy(flags int) (m innerMessage, pidfds []int, err error) {
	text := make([]byte, wireMost)
	rights := make([]byte, unix.CmsgSpace(2*4))
	var n, rightsLength int
	for {
		n, rightsLength, _, _, err = unix.Recvmsg(int(w.socket.Fd()), text, rights, flags|unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return m, nil, fmt.Errorf("namespace socket: %w", err)
	}
	if n == 0 {
		return m, nil, io.EOF
	}
	if messages, err := unix.ParseSocketControlMessage(rights[:rightsLength]); err == nil && len(messages) == 1 {
		pidfds, _ = unix.ParseUnixRights(&messages[0])
	}
	return m, pidfds, json.Unmarshal(text[:n], &m)
}

package fd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/firewall"
)

// The keeper is a process that keeps CAP_NET_ADMIN and CAP_NET_RAW, when root's crak takes the rights of the user to whom a program or an
// image belongs. crak asks it for what outsideRights does. The user may control crak, so the keeper trusts none of its messages:
//
//   - At a checkpoint it gets the socket itself (SCM_RIGHTS). It drops only the packets between the two addresses of this socket, if the
//     socket has a connection in the keeper's network namespace. After it has read the state, the socket is not in repair mode.
//   - For crak hold it drops the packets of connections that an image names, because root has asked for this image. It refuses a connection
//     that this machine has, one that is held for another user, and one from a port that only root may use.
//   - At a restart it makes only connections whose packets are dropped because of a program of the same user. A keeper noted the
//     user in the table of nftables (firewall.HeldFor). crak gets the socket when it is not in repair mode any more.
//
// So a user gets nothing for other users' connections. The keeper ends when crak closes the socket to it, and then lets through the
// packets of connections that are neither left for a restart nor made by one.

// KeeperCommand is the hidden subcommand that executes the keeper. It must call RunKeeper.
const KeeperCommand = "keeper"

// keeperVariable tells a crak that is executed with other rights the number of the socket to the keeper.
const keeperVariable = "CRAK_KEEPER"

// keeperNeeds are the capabilities that the keeper needs.
const keeperNeeds = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW

// MayKeep tells whether a keeper has a purpose: if crak gives up capabilities that the keeper needs.
func MayKeep(now, later uint64) bool {
	return now&keeperNeeds == keeperNeeds && later&keeperNeeds != keeperNeeds
}

// A KeeperTask is what crak needs the keeper for.
type KeeperTask string

// KeepForCheckpoint is for the connections of a program, KeepForRestart to make those of an image, and KeepForHold to drop their packets
// before.
const (
	KeepForCheckpoint KeeperTask = "checkpoint"
	KeepForRestart    KeeperTask = "restart"
	KeepForHold       KeeperTask = "hold"
)

// requests are those that the keeper answers. It answers keeperRelease always.
func (t KeeperTask) requests() []string {
	switch t {
	case KeepForCheckpoint:
		return []string{keeperLook, keeperLeave}
	case KeepForRestart:
		return []string{keeperCheck, keeperMake, keeperResume}
	case KeepForHold:
		return []string{keeperHold}
	}
	return nil
}

// StartKeeper starts a keeper for the programs of a user. Call it before crak takes the user's rights.
func StartKeeper(user uint32, task KeeperTask) error {
	_, err := startKeeper(user, task, nil)
	return err
}

func startKeeper(user uint32, task KeeperTask, ambient []uintptr) (*exec.Cmd, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe", KeeperCommand, strconv.Itoa(int(user)), string(task))
	cmd.ExtraFiles = []*os.File{theirs} // keeperSocketNumber
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, AmbientCaps: ambient} // signals of the terminal do not reach it
	if err := cmd.Start(); err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("keeper: %w", err)
	}
	privileged = &keeper{socket: os.NewFile(uintptr(pair[0]), "socket")}
	return cmd, nil
}

// KeeperSocket is the socket to the keeper, or nil if there is none. A crak that is executed anew needs it, and KeeperSetting.
func KeeperSocket() *os.File {
	if k, ok := privileged.(*keeper); ok {
		return k.socket
	}
	return nil
}

// KeeperSetting is the environment variable that tells a crak the number of the socket to the keeper.
func KeeperSetting(number int) string { return fmt.Sprint(keeperVariable, "=", number) }

// PassKeeper has the kernel keep the socket to the keeper open at the next exec. The result is for the environment of the new crak.
func PassKeeper() ([]string, error) {
	socket := KeeperSocket()
	if socket == nil {
		return nil, nil
	}
	_, err := unix.FcntlInt(socket.Fd(), unix.F_SETFD, 0)
	return []string{KeeperSetting(int(socket.Fd()))}, err
}

// FindKeeper uses the keeper of the crak that has executed this one.
func FindKeeper() error {
	text := os.Getenv(keeperVariable)
	if text == "" {
		return nil
	}
	number, err := strconv.Atoi(text)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(number), unix.F_SETFD, unix.FD_CLOEXEC)
	}
	if err != nil {
		return fmt.Errorf("%s=%q: %w", keeperVariable, text, err)
	}
	privileged = &keeper{socket: os.NewFile(uintptr(number), "socket")}
	return os.Unsetenv(keeperVariable)
}

// EndKeeper ends the keeper, if there is one, and no other crak has the socket.
func EndKeeper() {
	if socket := KeeperSocket(); socket != nil {
		socket.Close()
		privileged = ownRights{}
	}
}

// keeper is the way to the keeper.
type keeper struct {
	mu     sync.Mutex
	socket *os.File
}

func (k *keeper) have() bool { return true }

func (k *keeper) look(socket int, _ firewall.Connection) (*TCPOutside, []byte, error) {
	reply, files, err := k.ask(keeperRequest{Do: keeperLook}, socket)
	defer closeFiles(files)
	if err != nil {
		return nil, nil, err
	}
	content, err := contentOf(files, reply.Size)
	return reply.Outside, content, err
}

func (k *keeper) leave(socket int, _ firewall.Connection, image string) error {
	_, files, err := k.ask(keeperRequest{Do: keeperLeave, Image: image}, socket)
	closeFiles(files)
	return err
}

func (k *keeper) hold(ends firewall.Connection, image string) error {
	_, files, err := k.ask(keeperRequest{Do: keeperHold, Own: ends.Own, Peer: ends.Peer, Image: image})
	closeFiles(files)
	return err
}

func (k *keeper) release(all []firewall.Connection) (err error) {
	for _, ends := range all {
		_, files, failed := k.ask(keeperRequest{Do: keeperRelease, Own: ends.Own, Peer: ends.Peer})
		closeFiles(files)
		err = errors.Join(err, failed)
	}
	return err
}

func (k *keeper) check(ends firewall.Connection) error {
	_, files, err := k.ask(keeperRequest{Do: keeperCheck, Own: ends.Own, Peer: ends.Peer})
	closeFiles(files)
	return err
}

func (k *keeper) putBack(r *TCPSocket, content []byte, _ *Env) (*os.File, error) {
	record, err := image.MarshalText(r.outsideOnly())
	if err != nil {
		return nil, err
	}
	memory, err := memoryWith(content)
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	_, files, err := k.ask(keeperRequest{Do: keeperMake, Record: record, Size: len(content)}, int(memory.Fd()))
	if err == nil && len(files) != 1 {
		err = errors.New("keeper: no socket")
	}
	if err != nil {
		closeFiles(files)
		return nil, err
	}
	return files[0], nil
}

func (k *keeper) resume(r *TCPSocket) error {
	_, files, err := k.ask(keeperRequest{Do: keeperResume, Own: *r.Own, Peer: *r.Remote})
	closeFiles(files)
	return err
}

// outsideOnly is the part of the record that the keeper needs. crak sets the options itself, with the user's rights.
func (r *TCPSocket) outsideOnly() *TCPSocket {
	return &TCPSocket{Family: r.Family, Own: r.Own, Remote: r.Remote, Shutdown: r.Shutdown, Outside: r.Outside}
}

func (k *keeper) ask(request keeperRequest, fds ...int) (reply keeperReply, files []*os.File, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := sendTo(int(k.socket.Fd()), request, fds); err != nil {
		return reply, nil, fmt.Errorf("keeper: %w", err)
	}
	if files, err = receiveFrom(int(k.socket.Fd()), &reply); err != nil {
		return reply, nil, fmt.Errorf("keeper: %w", err)
	}
	if reply.Error != "" {
		if err = errors.New(reply.Error); reply.Passes {
			err = passing(reply.Error)
		}
	}
	return reply, files, err
}

// A keeperRequest asks the keeper for one thing. Descriptors come with it: the socket, or the content.
type keeperRequest struct {
	Do     string          `json:"do"`
	Own    netip.AddrPort  `json:"own"`
	Peer   netip.AddrPort  `json:"peer"`
	Record json.RawMessage `json:"record,omitempty"`
	Size   int             `json:"size,omitempty"`  // of the content
	Image  string          `json:"image,omitempty"` // its path, for the comment in the table
}

// What a request asks for. Descriptors of the request, or the reply: [].
const (
	keeperLook    = "look"    // [socket] -> state, [content]
	keeperLeave   = "leave"   // [socket] ->
	keeperHold    = "hold"    // addresses ->
	keeperRelease = "release" // addresses ->
	keeperCheck   = "check"   // addresses ->
	keeperMake    = "make"    // record, [content] -> [socket]
	keeperResume  = "resume"  // addresses ->
)

// A keeperReply is the answer.
type keeperReply struct {
	Outside *TCPOutside `json:"outside,omitempty"`
	Size    int         `json:"size,omitempty"` // of the content
	Error   string      `json:"error,omitempty"`
	Passes  bool        `json:"passes,omitempty"` // the obstacle may soon be gone
}

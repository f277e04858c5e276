package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// Some descriptions only a member can make. The first member that has such a description makes it: this member is the maker. Until
// then all members with this description have a placeholder, a datagram socket that is connected to itself. The maker sends the
// description through the placeholder to the other members. Each of them puts it in the place of the placeholder:
//
//	create    crak    placeholder
//	attach    maker   opens the file → sends it → dup3 to its numbers
//	          others  receive the file          → dup3 to their numbers

// ByMember tells whether only a member can make a description.
func ByMember(d image.Description) bool {
	k, err := kindNamed(d.Kind)
	return err == nil && k.byMember != nil && k.byMember(d)
}

// placeholder makes the placeholder of a description.
func placeholder() (*os.File, error) {
	n, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(n), "placeholder")
	err = unix.Bind(n, &unix.SockaddrUnix{}) // the kernel chooses a name (unix(7), autobind)
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(n)
	}
	if err == nil {
		err = unix.Connect(n, name)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("placeholder: %w", err)
	}
	return f, nil
}

// Replace has the maker put a file that it has opened in the place of the placeholder, and send the file to the other members.
func (a *Attach) Replace(d image.Description, file program.Arg) {
	at := a.Placed(d.ID)
	socket := file
	if a.Others > 0 {
		socket = a.Call(unix.SYS_DUP, at).Keep().Arg()
	}
	a.put(d, file)
	for range a.Others {
		a.Call(unix.SYS_SENDMSG, socket, a.Set.Message(int(at.Value)), program.Const(unix.MSG_NOSIGNAL)).Want(1).
			Note("send the description to another member")
	}
}

// receive has a member receive a description from the maker. recvmsg(2) gives the new descriptor the lowest free number, and does not
// return this number. So the member calls F_DUPFD before, which returns the lowest free number.
func (a *Attach) receive(d image.Description) {
	at := a.Placed(d.ID)
	number := a.Call(unix.SYS_FCNTL, at, program.Const(unix.F_DUPFD_CLOEXEC), program.Const(0)).Keep().Arg()
	a.Call(unix.SYS_CLOSE, number)
	a.Call(unix.SYS_RECVMSG, at, a.Set.Message(0), program.Const(unix.MSG_CMSG_CLOEXEC)).Want(1).Note("the maker sends the description")
	a.put(d, number)
}

// put copies a file to all numbers of a description.
func (a *Attach) put(d image.Description, file program.Arg) {
	at := a.Placed(d.ID)
	a.Call(unix.SYS_DUP3, file, at, program.Const(unix.O_CLOEXEC)).Want(at.Value)
	for _, to := range a.Descriptors {
		a.Call(unix.SYS_DUP3, file, program.Const(to.Fd), program.Const(CloseOnExec(to))).Want(uint64(to.Fd))
	}
	a.Call(unix.SYS_CLOSE, file)
}

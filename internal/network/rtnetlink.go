package network

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// route is a socket of rtnetlink(7) in one network namespace.
type route struct{ socket int }

// openRoute opens a socket in a namespace, or in the caller's one if it is nil.
func openRoute(namespace *os.File) (r route, err error) {
	open := func() {
		r.socket, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	}
	if namespace == nil {
		open()
		return r, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err == nil {
			open()
		}
	}()
	<-done
	return r, err
}

func (r route) close() { unix.Close(r.socket) }

// ask sends a request: a struct of rtnetlink(7), and attributes. It returns the data of the first answer, which is empty if the kernel only
// acknowledges the request.
func (r route) ask(kind, flags uint16, body []byte, attributes ...[]byte) ([]byte, error) {
	data := append(body, slices.Concat(attributes...)...)
	request := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(data))
	binary.NativeEndian.PutUint32(request, uint32(cap(request)))
	binary.NativeEndian.PutUint16(request[4:], kind)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|flags)
	if err := unix.Sendto(r.socket, append(request, data...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	reply := make([]byte, 32<<10)
	n, _, err := unix.Recvfrom(r.socket, reply, 0)
	if err != nil {
		return nil, os.NewSyscallError("recvfrom", err)
	}
	messages, err := syscall.ParseNetlinkMessage(reply[:n])
	if err != nil || len(messages) == 0 || len(messages[0].Data) < 4 {
		return nil, errors.Join(errors.New("rtnetlink: no answer"), err)
	}
	first := messages[0]
	if first.Header.Type != unix.NLMSG_ERROR {
		return first.Data, nil
	}
	if code := int32(binary.NativeEndian.Uint32(first.Data)); code != 0 {
		return nil, unix.Errno(-code)
	}
	return nil, nil
}

// change is ask for a request that changes something.
func (r route) change(kind, flags uint16, body []byte, attributes ...[]byte) error {
	_, err := r.ask(kind, unix.NLM_F_ACK|flags, body, attributes...)
	return err
}

// attribute is a struct rtattr with its value.
func attribute(kind uint16, value ...[]byte) []byte {
	all := slices.Concat(value...)
	text := make([]byte, unix.SizeofRtAttr, unix.SizeofRtAttr+len(all)+3)
	binary.NativeEndian.PutUint16(text, uint16(unix.SizeofRtAttr+len(all)))
	binary.NativeEndian.PutUint16(text[2:], kind)
	text = append(text, all...)
	return append(text, make([]byte, -len(text)&3)...)
}

func attributeString(kind uint16, value string) []byte {
	return attribute(kind, []byte(value), []byte{0})
}

func attributeNumber(kind uint16, value uint32) []byte {
	return attribute(kind, binary.NativeEndian.AppendUint32(nil, value))
}

// infomsg is a struct ifinfomsg. With up, it sets the interface up.
func infomsg(index uint32, up bool) []byte {
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], index)
	if up {
		binary.NativeEndian.PutUint32(body[8:], unix.IFF_UP)
		binary.NativeEndian.PutUint32(body[12:], unix.IFF_UP)
	}
	return body
}

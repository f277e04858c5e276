// Package network makes network namespaces for programs that are to have one of their own (crak run --net=private). There, only the
// loopback interface exists. Its alias (ip-link(8)) marks the namespace, so that a checkpoint knows it.
package network

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const mark = "made by crak run --net=private"

// MakePrivate moves all threads of this process into a new network namespace. The process needs CAP_SYS_ADMIN.
func MakePrivate() error {
	namespace, err := inNewThread()
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer namespace.Close()
	// A thread that the runtime makes later is in the namespace of the thread that makes it.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETNS, namespace.Fd(), unix.CLONE_NEWNET, 0); errno != 0 {
		return fmt.Errorf("network namespace: %w", errno)
	}
	return nil
}

// inNewThread makes the namespace in a thread that ends afterwards.
func inNewThread() (namespace *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return
		}
		if err = beginLoopback(); err != nil {
			err = fmt.Errorf("loopback interface: %w", err)
			return
		}
		namespace, err = os.Open("/proc/thread-self/ns/net")
	}()
	<-done
	return namespace, err
}

// beginLoopback sets the loopback interface up, and its alias (rtnetlink(7)).
func beginLoopback() error {
	const loopback = 1 // its index in each namespace
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	var request struct {
		header    unix.NlMsghdr
		link      unix.IfInfomsg
		attribute unix.RtAttr
		alias     [(len(mark) + 3) &^ 3]byte
	}
	request.header = unix.NlMsghdr{Len: uint32(unsafe.Sizeof(request)), Type: unix.RTM_NEWLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK}
	request.link = unix.IfInfomsg{Index: loopback, Flags: unix.IFF_UP, Change: unix.IFF_UP}
	request.attribute = unix.RtAttr{Len: uint16(unix.SizeofRtAttr + len(mark)), Type: unix.IFLA_IFALIAS}
	copy(request.alias[:], mark)
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&request)), unsafe.Sizeof(request))
	if err := unix.Sendto(socket, bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var reply [4096]byte
	n, _, err := unix.Recvfrom(socket, reply[:], 0)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(reply[:n])
	if err != nil || len(messages) == 0 || len(messages[0].Data) < 4 {
		return fmt.Errorf("netlink: no answer: %v", err)
	}
	if code := *(*int32)(unsafe.Pointer(&messages[0].Data[0])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// IsPrivate tells whether this process is in a network namespace that MakePrivate has made.
func IsPrivate() (bool, error) {
	links, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return false, err
	}
	messages, err := syscall.ParseNetlinkMessage(links)
	if err != nil {
		return false, err
	}
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return false, err
		}
		for _, a := range attributes {
			if a.Attr.Type == unix.IFLA_IFALIAS && unix.ByteSliceToString(a.Value) == mark {
				return true, nil
			}
		}
	}
	return false, nil
}

// Package network makes network namespaces for programs that are to have one of their own (crak run --net=private). There, only the
// loopback interface exists, and the end of a link to another namespace if the user wants one. The alias of the loopback interface
// (ip-link(8)) marks the namespace, so that a checkpoint knows it.
package network

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mark is the alias of the loopback interface. If there is a link, a colon and the link follow.
const mark = "made by crak run --net=private"

// MakePrivate moves all threads of this process into a new network namespace. The process needs CAP_SYS_ADMIN. If link is not nil, MakePrivate
// makes this link to the namespace in which the process was. It calls before, if that is not nil, when the threads are in the new namespace
// and before there is a link. A link takes CAP_NET_ADMIN in both namespaces.
func MakePrivate(link *Link, before func() error) error {
	outside, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return err
	}
	defer outside.Close()
	alias := mark
	if link != nil {
		alias += ":" + link.String()
	}
	namespace, err := inNewThread(alias)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer namespace.Close()
	// A thread that the runtime makes later is in the namespace of the thread that makes it.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETNS, namespace.Fd(), unix.CLONE_NEWNET, 0); errno != 0 {
		return fmt.Errorf("network namespace: %w", errno)
	}
	if link == nil {
		return nil
	}
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	if err := link.make(outside); err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	return nil
}

// inNewThread makes the namespace in a thread that ends afterwards.
func inNewThread(alias string) (namespace *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return
		}
		if err = beginLoopback(alias); err != nil {
			err = fmt.Errorf("loopback interface: %w", err)
			return
		}
		namespace, err = os.Open("/proc/thread-self/ns/net")
	}()
	<-done
	return namespace, err
}

// beginLoopback sets the loopback interface up, and its alias.
func beginLoopback(alias string) error {
	const loopback = 1 // its index in each namespace
	r, err := openRoute(nil)
	if err != nil {
		return err
	}
	defer r.close()
	return r.change(unix.RTM_NEWLINK, 0, infomsg(loopback, true), attribute(unix.IFLA_IFALIAS, []byte(alias)))
}

// IsPrivate tells whether this process is in a network namespace that MakePrivate has made, and with which link.
func IsPrivate() (private bool, link string, err error) {
	links, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return false, "", err
	}
	messages, err := syscall.ParseNetlinkMessage(links)
	if err != nil {
		return false, "", err
	}
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return false, "", err
		}
		for _, a := range attributes {
			if a.Attr.Type != unix.IFLA_IFALIAS {
				continue
			}
			rest, marked := strings.CutPrefix(unix.ByteSliceToString(a.Value), mark)
			if marked && (rest == "" || rest[0] == ':') {
				return true, strings.TrimPrefix(rest, ":"), nil
			}
		}
	}
	return false, "", nil
}

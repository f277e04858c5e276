package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/network"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// parseNet parses the value of --net. The link is nil if there is to be none.
func parseNet(text string) (private bool, link *network.Link, err error) {
	kind, ends, linked := strings.Cut(text, ":")
	switch {
	case text == "":
		return false, nil, nil
	case kind != "private":
		return false, nil, fmt.Errorf("--net=%s: not private", text)
	case linked:
		if link, err = network.ParseLink(ends); err != nil {
			return false, nil, fmt.Errorf("--net: %w", err)
		}
	}
	return true, link, nil
}

// privateNetwork moves crak into a new network namespace. If that takes a user namespace, crak executes itself in one, by unshare(1):
// a process with threads, such as crak, cannot make one for itself. There it has all capabilities, until dropPrivileges.
func privateNetwork(link *network.Link) error {
	status, err := proc.Read(0, "status", proc.Status)
	if err != nil {
		return err
	}
	if status.CapEff&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return network.MakePrivate(link, nil)
	}
	if link != nil {
		return obstacle.Obstacle{What: "--net=private:" + link.String(), Why: "a link to this network namespace takes CAP_NET_ADMIN here", Do: "run crak as root, or without the link"}
	}
	if os.Getenv(privilegedVariable) != "" {
		return obstacle.Obstacle{What: "--net=private", Why: "no CAP_SYS_ADMIN in a new user namespace", Do: "run crak as root"}
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return fmt.Errorf("--net=private: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"unshare", "--user", "--map-current-user", "--keep-caps", "--", self}, os.Args[1:]...)
	return unix.Exec(unshare, args, append(os.Environ(), privilegedVariable+"=1"))
}

// privilegedVariable says that crak has its capabilities only because it is in a user namespace that it has made.
const privilegedVariable = "CRAK_USER_NAMESPACE"

// dropPrivileges takes away from this thread, before it executes the program, the capabilities that only crak was to have.
func dropPrivileges() error {
	if os.Getenv(privilegedVariable) == "" {
		return nil
	}
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData // without inheritable capabilities there are no ambient ones
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return os.Unsetenv(privilegedVariable)
}

// enterNetwork executes crak in the network namespace of a process, by nsenter(1), if that is another one than crak's. A user's program
// with a network namespace of its own has a user namespace, too. If crak cannot enter them, it goes on, and finds the obstacle. A restart
// does not make other network namespaces than those of crak run --net=private.
func enterNetwork(pid int) error {
	of := strconv.Itoa(pid)
	ours, theirs := namespaceOf("self", "net"), namespaceOf(of, "net")
	if os.Getenv(enteredVariable) != "" {
		if private, _, err := network.IsPrivate(); err != nil || !private {
			return errors.Join(err, obstacle.Obstacle{Pid: pid, What: "in another network namespace", Why: "crak run has not made it, so a restart does not make one like it",
				Do: "run crak, and later crak restart, in that namespace: nsenter --net --target " + of + " crak …"})
		}
		return nil
	}
	if theirs == "" || ours == theirs {
		return nil
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"nsenter", "--target", of, "--net"}
	if os.Geteuid() != 0 && namespaceOf("self", "user") != namespaceOf(of, "user") {
		args = append(args, "--user", "--preserve-credentials")
	}
	return unix.Exec(nsenter, slices.Concat(args, []string{"--", self}, os.Args[1:]), append(os.Environ(), enteredVariable+"=1"))
}

// enteredVariable says that crak has executed itself in enterNetwork already.
const enteredVariable = "CRAK_ENTERED"

func namespaceOf(process, kind string) string {
	text, _ := os.Readlink("/proc/" + process + "/ns/" + kind)
	return text
}

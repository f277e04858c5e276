package fd

import (
	"errors"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// The guard is a keeper (tcp_keeper.go) that a writer with the rights of its own starts, if the program has a connection to a process outside.
// The state of the connection is read in repair mode, and its packets are dropped meanwhile. If the writer is killed, the guard ends
// both.

// guard is the process, or nil.
var guard *exec.Cmd

// GuardConnections starts the guard. It does nothing if there is a keeper, or if the guard cannot be started: then crak does without.
func GuardConnections() {
	if _, own := privileged.(ownRights); !own {
		return
	}
	// The kernel keeps ambient capabilities at execve(2), also if the user is not root.
	ambient := []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
	if cmd, err := startKeeper(uint32(os.Geteuid()), KeepForCheckpoint, ambient); err == nil {
		guard = cmd
	}
}

// EndGuard ends the guard, if there is one. Preconditions: no connection waits for ReleaseConnections.
func EndGuard() {
	if guard != nil {
		EndKeeper()
		guard.Wait()
		guard = nil
	}
}

// keeperSocketNumber is the keeper's descriptor of the socket to crak.
const keeperSocketNumber = 3

// RunKeeper carries out the hidden subcommand KeeperCommand. The arguments are those after it.
func RunKeeper(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("a user and a task are expected")
	}
	user, err := strconv.ParseUint(arguments[0], 10, 32)
	if err != nil {
		return err
	}
	return ServeKeeper(keeperSocketNumber, uint32(user), KeeperTask(arguments[1]))
}

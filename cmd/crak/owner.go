package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/rights"
)

// asOwner makes root's crak become the user to whom an image belongs, for good and without capabilities, and executes the same
// command again. Nothing of the image was read before. asOwner returns nil if crak is not run by root, if the image belongs to
// root, or if the path is wrong: image.Open then reports what is wrong.
//
// The user may trace the new crak. So root's crak passes on only standard input, output and error, the descriptor of
// --status-fd, and the socket to the keeper, which does not trust the new crak. The new crak has no environment of root's, and / as its working directory.
func asOwner(cmd *cobra.Command, path string) error {
	if os.Geteuid() != 0 {
		return fd.FindKeeper()
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	owner, err := rights.Owner(path)
	if err != nil || owner.UID[0] == 0 {
		return nil
	}
	if err := closeAtExec(cmd.Flags().Lookup("status-fd")); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if cmd.Name() == "restart" && (term.IsTerminal(0) || term.IsTerminal(1) || term.IsTerminal(2)) {
		notice(fmt.Sprintf("the processes of user %d get this terminal, and may be able to type into it (ioctl_tty(2), TIOCSTI)", owner.UID[0]))
	}
	if err := keepFor(cmd, owner.UID[0]); err != nil {
		return err
	}
	if err := owner.Become(); err != nil {
		return fmt.Errorf("%s: belongs to user %d, and crak cannot become that user: %w", path, owner.UID[0], err)
	}
	keeper, err := fd.PassKeeper()
	if err != nil {
		return fmt.Errorf("keeper: %w", err)
	}
	err = syscall.Exec("/proc/self/exe", sameCommand(cmd, path), keeper)
	return fmt.Errorf("crak cannot be executed as user %d, to whom %s belongs: %w", owner.UID[0], path, err)
}

// keepFor starts a keeper for commands that use connections of an image to processes outside of the program.
func keepFor(cmd *cobra.Command, user uint32) error {
	task, needed := map[string]fd.KeeperTask{
		"restart": fd.KeepForRestart, "check": fd.KeepForRestart, "forget": fd.KeepForRestart, "hold": fd.KeepForHold,
	}[cmd.Name()]
	if !needed {
		return nil
	}
	ours, err := proc.Read(0, "status", proc.Status)
	if err != nil || !fd.MayKeep(ours.CapEff, 0) {
		return err
	}
	return fd.StartKeeper(user, task)
}

// keepForProgram starts a keeper for a running program of a user.
func keepForProgram(user uint32) error { return fd.StartKeeper(user, fd.KeepForCheckpoint) }

// openImage opens an image for a command that only reads it. Root's crak first becomes the user to whom the image belongs.
func openImage(cmd *cobra.Command, path string) (*image.Image, error) {
	if err := asOwner(cmd, path); err != nil {
		return nil, err
	}
	return image.Open(path)
}

// closeAtExec has the kernel close all descriptors at the next exec but standard input, output and error, and the one that a
// flag names.
func closeAtExec(except *pflag.Flag) error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	if except == nil || !except.Changed {
		return nil
	}
	var fd int
	if _, err := fmt.Sscan(except.Value.String(), &fd); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		return fmt.Errorf("--%s=%d: %w", except.Name, fd, err)
	}
	return nil
}

// sameCommand is the command line of crak with the same flags and the absolute path of the image.
func sameCommand(cmd *cobra.Command, path string) []string {
	args := []string{"crak", cmd.Name()}
	cmd.Flags().Visit(func(f *pflag.Flag) { args = append(args, "--"+f.Name+"="+f.Value.String()) })
	return append(args, "--", path)
}

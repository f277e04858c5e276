package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/restore"
)

func newRestart() *cobra.Command {
	o := restore.Options{Pids: restore.PidsAuto, Files: fd.Keep, Notice: notice, Progress: showProgress}
	statusFd, owner := -1, false
	cmd := &cobra.Command{
		Use:   "restart [--detach] [--as-owner] [--pids=auto|keep|fresh] [--files=keep|rewind|strict] [--force] IMAGE",
		Short: "bring a program back from an image",
		Long: `Bring a program back from an image: same PIDs, same threads, same files, same place in every system call.
IMAGE is an image's directory, or the directory of a program's images: then the latest is taken.

In the foreground crak passes signals and the terminal on, and ends as the program ends: with its exit status, or by
the signal that killed it. With --detach it prints the PID and ends as soon as the program runs; the program then has a
session of its own, and /dev/null where it had a terminal or pipes.

The old PIDs need CAP_CHECKPOINT_RESTORE, and must be free; otherwise --pids=auto restarts the program in a new
PID namespace, which needs no privilege, and says so.

An image, and every directory on the way to it, must belong to you or root, and nobody else may write there. Root
restarts a user's image with --as-owner alone: crak becomes that user, for good, before it reads the image.

Files that were written to since the checkpoint are taken as they are (--files=keep), cut back to the size they had if
the program only appends to them and refused otherwise (rewind), or refused (strict). Files that are gone, replaced or
shorter are refused, unless --force: then what is there is taken, and empty files stand in for those that are gone.

Exit status: the program's own; 1 it cannot be restarted (the reason is on stderr, and nothing is left of it); 2 usage.`,
		Example: "  crak restart app.412\n  crak restart --detach --files=rewind app.412/3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkStatusFd(cmd, statusFd); err != nil {
				return usageError{err}
			}
			if owner {
				if err := asOwner(args[0]); err != nil {
					return err
				}
			}
			o.Image = args[0]
			o.Started = func(pid int) { started(pid, o.Detach, statusFd) }
			return restart(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Detach, "detach", false, "return when the program runs, and print its PID")
	restartFlags(cmd, &o)
	flags.BoolVar(&owner, "as-owner", false, "as root: become the user to whom the image belongs")
	flags.IntVar(&statusFd, "status-fd", -1, "write the PID to this descriptor, and close it, when the program runs")
	return cmd
}

// checkStatusFd wants a descriptor that can be written to, before anything is restarted.
func checkStatusFd(cmd *cobra.Command, fd int) error {
	if !cmd.Flags().Changed("status-fd") {
		return nil
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_ACCMODE == unix.O_RDONLY {
		err = unix.EBADF
	}
	if err != nil {
		return fmt.Errorf("--status-fd=%d: not open for writing: %w", fd, err)
	}
	return nil
}

// restartFlags are those of crak run --resume, too.
func restartFlags(cmd *cobra.Command, o *restore.Options) {
	flags := cmd.Flags()
	flags.Var(&o.Pids, "pids", "which PIDs it gets: the old ones here (keep), in a namespace of its own (fresh), or what works (auto)")
	flags.Var(&o.Files, "files", "how to take files written to since the checkpoint")
	flags.BoolVar(&o.Force, "force", false, "take files that shrank, were replaced, or are gone")
}

// restart returns only on an error, or detached: otherwise it ends as the program has.
func restart(ctx context.Context, o restore.Options) error {
	debug.SetGCPercent(800) // a restart is over before there is much to collect
	status, err := restore.Run(ctx, o)
	if err != nil || o.Detach {
		return err
	}
	endAs(status)
	return nil
}

// showProgress shows a bar of the memory that is read.
func showProgress(done func() uint64, total uint64) (end func()) {
	bar := newProgress("restart")
	bar.follow(done, total)
	return bar.end
}

// endAs ends as a program has: by its exit status, or by the signal that killed it, without a core of ours.
func endAs(status unix.WaitStatus) {
	if !status.Signaled() {
		os.Exit(status.ExitStatus())
	}
	s := status.Signal()
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	defaultAction(s)
	unix.Kill(os.Getpid(), s)
	time.Sleep(100 * time.Millisecond) // for a signal that takes its time to arrive
	os.Exit(128 + int(s))
}

// defaultAction gives a signal its default action behind the Go runtime's back: to a SIGSEGV or SIGABRT that is sent to
// it, it answers with a page of its own stacks, whatever package signal was told.
func defaultAction(s unix.Signal) {
	var action [4]uint64 // struct sigaction of the kernel: SIG_DFL, no flags, no mask
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action[3]), 0, 0)
}

// started tells whoever wants to know that the program runs.
func started(pid int, detach bool, statusFd int) {
	if statusFd >= 0 {
		f := os.NewFile(uintptr(statusFd), "--status-fd")
		if f != nil {
			fmt.Fprintln(f, pid)
			f.Close()
		}
	}
	if detach {
		fmt.Println(pid)
	}
	restore.LeaveStandard()
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/restore"
)

func newRestart() *cobra.Command {
	o := restore.Options{Pids: restore.PidsAuto, Notice: notice, Progress: showProgress}
	statusFd, owner := -1, false
	var images schedule
	cmd := &cobra.Command{
		Use:   "restart [--detach] [--as-owner] [--pids=auto|keep|fresh] [--files=keep|rewind|strict] [--force] [--path OLD=NEW]… [--addr OLD=NEW]… [--fd N|KIND[:PATTERN]=CHOICE]… [--interval T [--keep N]] IMAGE",
		Short: "restart a program from an image",
		Long: `Restart a program from an image, with the same PID, the same threads and the same open files. Interrupted system
calls go on. IMAGE is the directory of an image, or the directory of a program's images: then the newest image is
restarted.

In the foreground, crak passes signals and the terminal to the program. crak ends as the program ends: with its exit
status, or by the signal that killed it. With --detach, crak prints the PID and exits as soon as the program runs. The
program then has its own session, and /dev/null in place of its terminal and pipes.

To choose the old PIDs, crak needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and the PIDs must be free. Otherwise
--pids=auto restarts the program in a new PID namespace, and prints a notice. That needs no privilege.

The image, and every directory on its path, must belong to you or to root, and no other user may be able to write to
it. Root can restart another user's image only with --as-owner: crak then becomes that user before it reads the image.

If a file was written to after the checkpoint, crak puts it back as it was if the image has a copy of it (crak checkpoint
--with-files). It does so when nothing else can fail any more. Otherwise it uses the file as it is. --files=keep uses every such file
as it is. --files=rewind puts copies back, too, and cuts other files back to their old size if the program only appends to them; else
it refuses the restart. --files=strict refuses the restart. If a file of which there is no copy is gone, was replaced, or is shorter,
the restart is refused. With --force the present file is used, and an empty file is made for each one that is gone.

--path OLD=NEW is for files that have moved: each path of the image that is OLD, or below OLD, is replaced. That holds for
open files and directories, FIFOs, named Unix sockets, working directories, executables and libraries. Such a file must have the
size and time of modification that it had (cp -p and rsync -t keep them). If several OLD fit, the longest one is used. Paths
in the memory of the program stay as they are.

--addr is for another machine: sockets that had its IP address OLD get NEW, and so do both ends of a connection between processes of
the program. A connection to a process outside of the program keeps its address: this machine must have it.

--fd N=close leaves out descriptor N, and --fd KIND=close all descriptors of a KIND that crak inspect shows ("inotify",
"unix_socket"). KIND:PATTERN selects those whose text in crak inspect matches the shell PATTERN ("regular:/tmp/*"; * matches a
slash, too). With =/path, crak opens another file in their place, with the same access mode. Its offset is the old offset, or
the end of the file if that is smaller.
With =stdin, =stdout or =stderr, crak's own standard input, output or error is in their place ("pipe:outside=stdin": pipes to
processes outside of the program). With =ignore a regular file is used whatever has become of it, as with --force. --fd @FILE reads
choices from a file: one in each line, such as "inotify=close"; lines that begin with # are comments.

Exit status: the program's own; 1 it cannot be restarted (the reason is on stderr; no process is left); 2 usage.`,
		Example: "  crak restart app.412\n  crak restart --detach --files=rewind app.412/3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(checkStatusFd(cmd, statusFd), images.check(cmd)); err != nil {
				return usageError{err}
			}
			if owner {
				if err := asOwner(cmd, args[0]); err != nil {
					return err
				}
			}
			o.Image = args[0]
			o.Started = func(pid int) {
				images.beginOrSay(pid)
				started(pid, o.Detach, statusFd)
			}
			return restart(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Detach, "detach", false, "print the PID and exit as soon as the program runs")
	restartFlags(cmd, &o)
	flags.BoolVar(&owner, "as-owner", false, "as root: become the user to whom the image belongs")
	images.flags(flags)
	flags.IntVar(&statusFd, "status-fd", -1, "write the PID to this descriptor when the program runs, then close it")
	return cmd
}

// checkStatusFd checks before the restart that the descriptor can be written to. It has the kernel close the descriptor at an exec:
// the crak in a new PID namespace is not to have it, or its reader would not see the end of a pipe.
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
	unix.CloseOnExec(fd)
	return nil
}

// restartFlags adds the flags that crak restart and crak run --resume have in common.
func restartFlags(cmd *cobra.Command, o *restore.Options) {
	flags := cmd.Flags()
	flags.Var(&o.Pids, "pids",
		"the old PIDs in this PID namespace (keep), in a new PID namespace (fresh), or whichever of the two works (auto)")
	flags.Var(&o.Files, "files", "what to do with files written to since the checkpoint")
	flags.BoolVar(&o.Force, "force", false, "accept files that shrank, were replaced, or are gone")
	changeFlags(flags, &o.Changes)
}

// changeFlags adds the flags that change what an image refers to.
func changeFlags(flags *pflag.FlagSet, c *fd.Changes) {
	flags.Var(&c.Instead, "fd", "leave a descriptor out (close), or put /dev/null (null), another file (/path) or one of crak's own (stdin, stdout, stderr) in its place; "+
		"take a file whatever has become of it (ignore); "+
		"reset a TCP connection (reset, tcp=close), or make a new one to the same peer (reconnect); may be repeated")
	flags.Var(&c.Paths, "path", "files, directories and sockets that were below the path OLD are below NEW now; may be repeated")
	flags.Var(&c.Addresses, "addr", "sockets that had the IP address OLD have NEW now; may be repeated")
}

// restartMemory is the Go runtime's limit in a restart. The members need the memory. Near the limit garbage is collected more
// often.
const restartMemory = 48 << 20

// restart returns on an error or with --detach. Otherwise crak ends as the program has ended.
func restart(ctx context.Context, o restore.Options) error {
	debug.SetGCPercent(800) // a restart is short: more memory, less time for garbage collection
	debug.SetMemoryLimit(restartMemory)
	status, err := restore.Run(ctx, o)
	if err != nil || o.Detach {
		return err
	}
	endAs(status)
	return nil
}

// showProgress shows a bar for the memory that is read from the image.
func showProgress(done func() uint64, total uint64) (end func()) {
	bar := newProgress("restart")
	bar.follow(done, total)
	return bar.end
}

// endAs ends crak as the program has ended: with its exit status, or by the signal that killed it. crak dumps no core.
func endAs(status unix.WaitStatus) {
	if !status.Signaled() {
		os.Exit(status.ExitStatus())
	}
	s := status.Signal()
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	defaultAction(s)
	unix.Kill(os.Getpid(), s)
	time.Sleep(100 * time.Millisecond) // the signal may arrive after kill(2) has returned
	os.Exit(128 + int(s))
}

// defaultAction sets the default action of a signal by the system call. With os/signal the Go runtime would still handle a
// SIGSEGV or SIGABRT, and print the stacks of its goroutines.
func defaultAction(s unix.Signal) {
	var action [4]uint64 // struct sigaction of the kernel: SIG_DFL, no flags, no mask
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action[3]), 0, 0)
}

// started reports the PID of the restarted program: to --status-fd, and to stdout with --detach.
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

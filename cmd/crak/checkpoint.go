package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"crak.dev/crak/coord"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/printable"
	"crak.dev/crak/internal/signals"
)

func newCheckpoint() *cobra.Command {
	var o coord.Options
	var which selection
	var keep int
	cmd := &cobra.Command{
		Use:   "checkpoint [--kill] [--output IMAGE | --keep N] [--with-files] [--fd N|KIND[:PATTERN]=CHOICE]… [--only | --skip PID|NAME…] PID|--group NAME",
		Short: "write an image of a running program and its descendants",
		Long: `Write an image of a running process that was started with libcrak.so, and of its descendants, and print the path of the
image. The image shows all of them at one instant. They then run on. With --kill they are ended: they do not run after that
instant. If the checkpoint fails, they run on and no image is left.

The image has the program and its descendants. If crak run has started the program, the image also has descendants that
have lost their parent. If the program is in a group (crak run --group), the image has the whole group. Its root is the
process whose end and exit status crak restart follows: the program with this PID, or the oldest program of the group.

--only makes an image of the process alone. --skip leaves out a process with its descendants: by PID, or by the name that
crak ps shows. It is an obstacle if another process of the group needs a process that is left out: because both share a
pipe or memory, or because it waits for the end of that process.

Use --fd for a descriptor that prevents the checkpoint and that the program does not use. Often the program inherited it
from a shell or an IDE. Only the image is changed: a program that runs on keeps the descriptor. Instead of the number N, a KIND
selects all descriptors of this kind: a kind that crak inspect shows ("eventfd", "tcp_socket" or "tcp"), or the first word of
the message that refuses the checkpoint ("inotify", "io_uring"). KIND:PATTERN selects those descriptors whose link in
/proc/PID/fd matches the shell PATTERN ("regular:/tmp/*"; * matches a slash, too). For a socket of TCP or UDP, the address of
the other end must match ("tcp:*:5432"), or its own address if it is not connected. With =stdin, =stdout or =stderr, the
standard input, output or error of crak restart takes the place of the descriptor ("pipe:outside=stdin": pipes to processes
outside of the program). --fd @FILE reads choices from a file: one in each line, such as "inotify=close"; lines that begin
with # are comments.

With --with-files the image also has copies of all regular files that the program has open for writing, or can write to through a
shared mapping. crak restart then puts them back as they were at the instant of the image: content, size, mode, owner, extended
attributes and times. If the image is in the same file system, XFS or Btrfs, a copy shares its blocks with the file (reflink).
Otherwise the files are copied while the program stands still. If they have more than 1 GiB, holes not counted, crak refuses the
checkpoint, except with --kill.

If root runs crak, crak first takes the user, groups and capabilities of the program. The image and the log belong to the
program's user. That user must be able to write to the directory of --output.

Exit status: 0 the image is on disk; 1 there is no image, or the program of --kill was not ended; 2 usage.`,
		Example: "  crak checkpoint 412\n  crak checkpoint --kill --output /scratch/job 412\n  crak checkpoint --group sim",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := which.check(cmd, args); err != nil {
				return usageError{err}
			}
			if o.Compress != "" && o.Compress != "zstd" && o.Compress != "none" {
				return usageError{fmt.Errorf("--compress=%s: neither zstd nor none", o.Compress)}
			}
			if o.Twin != "" && o.Twin != "auto" && o.Twin != "need" && o.Twin != "never" {
				return usageError{fmt.Errorf("--twin=%s: neither auto, need nor never", o.Twin)}
			}
			if err := o.Overrides.CheckpointOnly(); err != nil {
				return usageError{err}
			}
			if err := checkKeep(cmd, keep); err != nil {
				return usageError{err}
			}
			if keep > 0 && o.Output != "" {
				return usageError{errors.New("--keep counts the images in the program's own directory, not --output")}
			}
			coord.OfferToOOM()
			var err error
			if o.Pid, err = which.root(args); err != nil {
				return err
			}
			if err := enterNetwork(o.Pid); err != nil {
				return err
			}
			o.Only, o.Skip = which.only, which.skip
			// The caller has chosen this directory: it is opened with the caller's rights. All later files are opened with the
			// program's.
			if o.Output != "" {
				if o.Output, o.Parent, err = openParent(o.Output); err != nil {
					return err
				}
				defer o.Parent.Close()
			}
			if o.Rights, err = coord.Adopt(o.Pid, keepForProgram); err != nil {
				return err
			}
			signal.Ignore(unix.SIGXFSZ) // a write beyond RLIMIT_FSIZE then fails with EFBIG
			ctx, stop := signal.NotifyContext(cmd.Context(), signals.NotIgnored(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)...)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends crak at once
			o.Context, o.Resumed = ctx, coord.LowerPriority
			bar := newProgress("checkpoint")
			o.Progress = func(w *image.Writer, pids []int) { bar.follow(w.Progress, memoryOf(pids)) }
			result, err := coord.Checkpoint(o)
			bar.end()
			if err != nil {
				return err
			}
			for _, text := range result.Notices {
				notice(text)
			}
			if result.Note != "" {
				notice("the program was frozen until its memory was written: " + result.Note)
			}
			if err := printPath(cmd.OutOrStdout(), result.Path); err != nil || keep == 0 {
				return err
			}
			return image.Prune(result.Path, keep)
		},
	}
	flags := cmd.Flags()
	which.flags(flags)
	flags.BoolVar(&o.Kill, "kill", false, "end the program at the instant of the image")
	flags.StringVarP(&o.Output, "output", "o", "", "path of the image (default: a new directory below the program's CRAK_DIR)")
	flags.IntVar(&keep, "keep", 0, "after the checkpoint, remove all but the newest N images of the program")
	flags.Var(&o.Overrides, "fd", "leave a descriptor out of the image (close), or put /dev/null (null) or one of crak restart (stdin, stdout, stderr) in its place; "+
		"reset a TCP connection (reset, tcp=close), or have a new one to the same peer (reconnect); may be repeated")
	flags.BoolVar(&o.SelfContained, "self-contained", false,
		"also save the pages of mapped files: the executable, libraries, but not files that the program writes to through a shared mapping")
	flags.BoolVar(&o.WithFiles, "with-files", false, "also save the regular files that the program can write to; a restart puts them back")
	flags.StringVar(&o.Twin, "twin", "", "whether the program runs on while a copy-on-write copy of its memory is written: "+
		"auto (the default): if there is enough memory; need: yes, or the checkpoint is refused; never: the program is frozen until its memory is written")
	flags.StringVar(&o.Compress, "compress", "", "zstd (the default) or none")
	return cmd
}

// printPath writes the path of an image. The program has chosen CRAK_DIR, so on a terminal the path is made printable. A script
// gets the path as it is.
func printPath(w io.Writer, path string) error {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		path = printable.Text(path)
	}
	_, err := fmt.Fprintln(w, path)
	return err
}

// openParent opens the directory that will contain the image.
func openParent(output string) (path string, parent *os.File, err error) {
	if path, err = filepath.Abs(output); err != nil {
		return "", nil, err
	}
	parent, err = image.OpenDirectory(filepath.Dir(path))
	return path, parent, err
}

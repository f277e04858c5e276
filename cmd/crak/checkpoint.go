package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"crak.dev/crak/coord"
	"crak.dev/crak/image"
)

func newCheckpoint() *cobra.Command {
	var o coord.Options
	cmd := &cobra.Command{
		Use:   "checkpoint [--kill] [--output IMAGE] [--fd N=close|null]… PID",
		Short: "write an image of a running program",
		Long: `Write an image of a running program that was started with libcrak.so, and print the image's path.
The program goes on, unless it is to be killed: then it does not run on after the instant of the image.
Whatever goes wrong, the program runs on as if nothing had been asked and no image is left.

--fd is for a descriptor that keeps the checkpoint from working, and that the program does not use: often one that it
inherited from a shell or an IDE. Only the image is without it: a program that runs on keeps the descriptor.

Root's crak gives up its own rights first, and takes those of the program: the image and the log belong to the program's
user, who must be able to write to the directory of --output.

Exit status: 0 the image is on disk; 1 there is none; 2 usage.`,
		Example: "  crak checkpoint 412\n  crak checkpoint --kill --output /scratch/job 412",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Pid, err = strconv.Atoi(args[0]); err != nil || o.Pid <= 0 {
				return usageError{fmt.Errorf("%q: not a PID", args[0])}
			}
			if o.Compress != "" && o.Compress != "zstd" && o.Compress != "none" {
				return usageError{fmt.Errorf("--compress=%s: neither zstd nor none", o.Compress)}
			}
			if o.Twin != "" && o.Twin != "auto" && o.Twin != "need" && o.Twin != "never" {
				return usageError{fmt.Errorf("--twin=%s: neither auto, need nor never", o.Twin)}
			}
			coord.OfferToOOM()
			// What was typed here is opened with the caller's rights, all else used with the program's.
			if o.Output != "" {
				if o.Output, o.Parent, err = openParent(o.Output); err != nil {
					return err
				}
				defer o.Parent.Close()
			}
			if o.Rights, err = coord.Adopt(o.Pid); err != nil {
				return err
			}
			signal.Ignore(unix.SIGXFSZ) // a limit on file sizes is then an error like others
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
			defer stop()
			context.AfterFunc(ctx, stop) // the second time is the end at once
			o.Context = ctx
			bar := newProgress("checkpoint")
			o.Progress = func(w *image.Writer) { bar.follow(w.Progress, memoryOf(o.Pid)) }
			result, err := coord.Checkpoint(o)
			bar.end()
			if err != nil {
				return err
			}
			if result.Note != "" {
				notice("it stood still until its memory was written: " + result.Note)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), result.Path)
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Kill, "kill", false, "end the program")
	flags.StringVarP(&o.Output, "output", "o", "", "path of the image, instead of the program's CRAK_DIR")
	flags.Var(&o.Overrides, "fd", "leave descriptor N out of the image (close), or put /dev/null in its place (null); may be repeated")
	flags.BoolVar(&o.SelfContained, "self-contained", false, "save the pages of mapped files too: libraries, the executable, but not files written to through a shared mapping")
	flags.StringVar(&o.Twin, "twin", "", "auto (the default), need: refuse where memory for a copy-on-write twin is short, or never")
	flags.StringVar(&o.Compress, "compress", "", "zstd (the default) or none")
	return cmd
}

// openParent opens the directory that an image is to be in.
func openParent(output string) (path string, parent *os.File, err error) {
	if path, err = filepath.Abs(output); err != nil {
		return "", nil, err
	}
	parent, err = image.OpenDirectory(filepath.Dir(path))
	return path, parent, err
}

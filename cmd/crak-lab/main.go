// Command crak-lab runs a directory of restart-fidelity scripts: it is what `crak lab` executes. It is a program of its own
// so that crak, which people wait for, does not carry what only the lab needs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"crak.dev/crak/lab"
)

// Exit statuses, as those of crak.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ran := false
	cmd := newLab(&ran)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "crak: %v\n", err)
		if !ran {
			fmt.Fprintln(os.Stderr, "crak: hint: crak lab --help")
			os.Exit(exitUsage)
		}
		os.Exit(exitFailed)
	}
}

// newLab is the command; ran tells whether its arguments were good.
func newLab(ran *bool) *cobra.Command {
	var p lab.Params
	cmd := &cobra.Command{
		Use:   "crak-lab DIR",
		Short: "run a directory of restart-fidelity scripts",
		Long: `Run every *.txtar script in DIR: programs are started, checkpointed, crashed and restarted,
and must not notice. Run by root, each script runs as root and as an ordinary user.
The manual of the scripts is the documentation of the package lab.

Exit status: 0 all scripts passed or were skipped; 1 some failed, or there were none; 2 usage.`,
		Example: "  crak lab testdata\n  crak lab --library build/libcrak.so --parallel 4 testdata",
		Args:    cobra.ExactArgs(1),

		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			*ran = true
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			p.Dir = args[0]
			result, err := lab.RunScripts(ctx, cmd.OutOrStdout(), p)
			if err != nil {
				return err
			}
			if result.Failed > 0 {
				return fmt.Errorf("%s: %d scripts failed, %d passed, %d were skipped",
					filepath.Clean(p.Dir), result.Failed, result.Passed, result.Skipped)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&p.Crak, "crak", "", "the crak under test (default: $CRAK, or build/crak here or above)")
	flags.StringVar(&p.Library, "library", "", "the libcrak.so under test (default: $CRAK_LIBRARY, or build/libcrak.so here or above)")
	flags.StringVar(&p.Programs, "programs", "", "directory of the C programs that scripts name (default: DIR/programs)")
	flags.StringVar(&p.Include, "include", "", "directory of crak.h")
	flags.StringVar(&p.Cache, "cache", "", "directory that keeps compiled programs (default: none)")
	flags.IntVar(&p.Parallel, "parallel", 2, "scripts at a time")
	flags.DurationVar(&p.Bound, "bound", 30*time.Second, "longest wait for anything in a script")
	flags.BoolVar(&p.Keep, "keep", false, "leave the scripts' work directories behind")
	return cmd
}

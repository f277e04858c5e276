// Command crak-lab runs a directory of restart-fidelity scripts. `crak lab` executes it. It is a separate program, because the
// packages that only the lab needs would make crak larger and its start slower.
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

// Exit statuses, the same as crak's.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(lab.UnderReaper(run)) }

// run returns the exit status.
func run() int {
	ran := false
	cmd := newLab(&ran)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "crak: %v\n", err)
		if !ran {
			fmt.Fprintln(os.Stderr, "crak: hint: crak lab --help")
			return exitUsage
		}
		return exitFailed
	}
	return 0
}

// newLab makes the command. It sets *ran when the arguments were valid.
func newLab(ran *bool) *cobra.Command {
	var p lab.Params
	cmd := &cobra.Command{
		Use:   "crak-lab DIR",
		Short: "run a directory of restart-fidelity scripts",
		Long: `Run every *.txtar script in DIR. A script starts, checkpoints, kills and restarts programs, and checks that they behave
as if nothing had happened. If root runs crak-lab, each script runs twice: as root and as an ordinary user.
The documentation of the package lab is the manual of the scripts.

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
	flags.StringVar(&p.Cache, "cache", "", "directory that keeps compiled programs for later runs (default: none)")
	flags.IntVar(&p.Parallel, "parallel", 2, "scripts at a time")
	flags.DurationVar(&p.Bound, "bound", 30*time.Second, "longest wait of each command in a script")
	flags.BoolVar(&p.Keep, "keep", false, "keep the work directories of the scripts")
	return cmd
}

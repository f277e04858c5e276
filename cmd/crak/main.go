// Command crak checkpoints programs and brings them back.
//
// Each subcommand has a file of its own. Results go to stdout alone, and everything else to stderr:
// `crak: …` says what is wrong, `crak: hint: …` what to do about it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
)

// version is set when crak is linked.
var version = "unknown"

// Exit statuses. A restarted program's own may be any.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// memoryLimit is of the Go runtime: near it, it collects more often. Reading an image takes less, whatever is in it.
const memoryLimit = 384 << 20

func main() {
	debug.SetMemoryLimit(memoryLimit)
	root := newRoot()
	if cmd, err := root.ExecuteContextC(context.Background()); err != nil {
		report(cmd, err)
		var usage usageError
		if errors.As(err, &usage) {
			os.Exit(exitUsage)
		}
		os.Exit(exitFailed)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "crak",
		Short: "checkpoint and restart programs",
		Long: `Checkpoint a running program to disk, and restart it from there: same PIDs, same threads, same files, same
place in every system call. No root, no kernel module, no change to the program.

  crak run ./app              start it (or: LD_PRELOAD=libcrak.so ./app)
  crak checkpoint PID         write an image (or: kill -USR2 PID)
  crak restart IMAGE          bring it back`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRun(), newCheckpoint(), newRestart(), newCheck(), newInspect(), newVerify(), newPlan(), newLab(),
		newMan(), newInner())
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
		c.DisableFlagsInUseLine = true
	}
	return root
}

// usageArgs makes the wrong number of arguments an error of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// report prints an error: obstacles one kind a line, and each hint once.
func report(cmd *cobra.Command, err error) {
	var list obstacle.List
	var one obstacle.Obstacle
	var usage usageError
	switch {
	case errors.As(err, &list):
		reportObstacles(list)
	case errors.As(err, &one):
		reportObstacles(obstacle.List{one})
	case errors.As(err, &usage):
		say("", err.Error())
		say("hint: ", cmd.CommandPath()+" --help")
	default:
		say("", err.Error())
	}
}

func reportObstacles(list obstacle.List) {
	for _, advice := range list.Summary() {
		for _, line := range advice.Lines {
			say("", line)
		}
		if advice.Hint != "" {
			say("hint: ", advice.Hint)
		}
	}
}

// notice says what is not an error.
func notice(text string) { say("notice: ", text) }

// say is all that crak says: a line on stderr, whatever names of files and programs are in it.
func say(kind, text string) { fmt.Fprintf(os.Stderr, "crak: %s%s\n", kind, printable.Text(text)) }

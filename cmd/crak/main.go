// Command crak checkpoints and restarts programs.
//
// Each subcommand has its own file. Only results go to stdout. Everything else goes to stderr: `crak: …` tells what is wrong,
// `crak: hint: …` what to do, and `crak: notice: …` what is not an error.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
)

// version is set when crak is linked.
var version = "unknown"

// Exit statuses. crak run and crak restart in the foreground end with the status of the program, which may be any.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is the error for a command line that is not valid.
type usageError struct{ error }

// memoryLimit is the Go runtime's: near the limit it collects garbage more often. No image needs more memory to be read.
const memoryLimit = 384 << 20

func main() {
	reserveThreads()
	debug.SetMemoryLimit(memoryLimit)
	root := newRoot()
	if cmd, err := root.ExecuteContextC(withinCPULimit()); err != nil {
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
		Long: `Checkpoint a running program to disk, and restart it later: with the same PID, the same threads and the same open
files. Interrupted system calls go on. crak needs no root, no kernel module and no change to the program.

  crak run ./app              start a program (or: LD_PRELOAD=libcrak.so ./app)
  crak checkpoint PID         write an image (or: kill -USR2 PID)
  crak restart IMAGE          restart the program`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRun(), newCheckpoint(), newRestart(), newCheck(), newPs(), newInspect(), newVerify(), newHold(), newForget(), newPlan(), newLab(),
		newMan(), newInner(), newKeeper(), newPeriodic())
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
		c.DisableFlagsInUseLine = true
	}
	return root
}

// usageArgs turns the error for a wrong number of arguments into a usageError.
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

// report prints an error. Obstacles of one kind share a line, and each hint is printed once.
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
		if errors.Is(err, unix.EMFILE) {
			say("hint: ", "raise the hard limit of open files: ulimit -n")
		}
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

// notice prints a message that is not an error.
func notice(text string) { say("notice: ", text) }

// say prints every message of crak: one line on stderr. Names of files and programs are made printable.
func say(kind, text string) { fmt.Fprintf(os.Stderr, "crak: %s%s\n", kind, printable.Text(text)) }

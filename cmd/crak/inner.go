package main

import (
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"crak.dev/crak/fd"
	"crak.dev/crak/restore"
)

// newInner is the hidden command that crak restart executes as init of a new PID namespace.
func newInner() *cobra.Command {
	return &cobra.Command{
		Use:    restore.InnerCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			debug.SetMemoryLimit(restartMemory)
			os.Exit(restore.Inner(showProgress))
		},
	}
}

// newKeeper is the hidden command that crak executes for connections to processes outside: see fd.ServeKeeper.
func newKeeper() *cobra.Command {
	return &cobra.Command{
		Use:    fd.KeeperCommand + " USER TASK",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return fd.RunKeeper(args)
		},
	}
}

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"crak.dev/crak/internal/obstacle"
)

const labName = "crak-lab"

func newLab() *cobra.Command {
	return &cobra.Command{
		Use:   "lab [flags] DIR",
		Short: "run a directory of restart-fidelity scripts",
		Long: `Run every *.txtar script in DIR. A script starts, checkpoints, kills and restarts programs, and checks that they behave
as if nothing had happened. crak lab executes the program crak-lab: crak lab --help describes its flags.`,
		Example:            "  crak lab testdata",
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return becomeLab(args) },
	}
}

// becomeLab executes crak-lab. This crak and its library are tested, unless $CRAK names another crak.
func becomeLab(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(self), labName)
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath(labName); err != nil {
			return obstacle.Obstacle{What: labName, Why: "it is neither in crak's directory nor in PATH", Do: "install it with make install"}
		}
	}
	if os.Getenv("CRAK") == "" {
		library, err := libraryPath()
		if err := errors.Join(err, os.Setenv("CRAK", self), os.Setenv("CRAK_LIBRARY", library)); err != nil {
			return err
		}
	}
	return syscall.Exec(path, append([]string{labName}, args...), os.Environ())
}

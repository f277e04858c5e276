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
		Long: `Run every *.txtar script in DIR: programs are started, checkpointed, crashed and restarted, and must not notice.
It is a program of its own, crak-lab, which crak becomes: crak lab --help describes its flags.`,
		Example:            "  crak lab testdata",
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return becomeLab(args) },
	}
}

// becomeLab executes crak-lab, with this very crak and its library as what is under test.
func becomeLab(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(self), labName)
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath(labName); err != nil {
			return obstacle.Obstacle{What: labName, Why: "it is neither beside crak nor in PATH", Do: "make install installs it"}
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

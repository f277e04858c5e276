package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crak.dev/crak/coord"
)

// A selection says which processes crak checkpoint and crak check are about.
type selection struct {
	group string
	only  bool
	skip  []string
}

func (s *selection) flags(flags *pflag.FlagSet) {
	flags.StringVarP(&s.group, "group", "g", "", "all programs that crak run --group has started with this name, in place of a PID")
	flags.BoolVar(&s.only, "only", false, "checkpoint only this process, without its descendants and its group")
	flags.StringArrayVar(&s.skip, "skip", nil, "leave out this process with its descendants; may be repeated")
}

// check refuses wrong flags and arguments.
func (s *selection) check(cmd *cobra.Command, args []string) error {
	switch given := cmd.Flags().Changed("group"); {
	case given && len(args) > 0:
		return errors.New("either a PID or --group")
	case given && s.only:
		return errors.New("--only is for one process: name its PID")
	case given:
		if err := coord.CheckGroup(s.group); err != nil {
			return fmt.Errorf("--group %w", err)
		}
	case len(args) == 0:
		return errors.New("no PID, and no --group")
	case pidOf(args[0]) == 0:
		return fmt.Errorf("%q: not a PID", args[0])
	case s.only && len(s.skip) > 0:
		return errors.New("--only leaves out all other processes: --skip has no use")
	}
	return nil
}

// pidOf reads a PID. It returns 0 if the text is not a PID.
func pidOf(text string) int {
	pid, err := strconv.Atoi(text)
	if err != nil || pid <= 0 {
		return 0
	}
	return pid
}

// root is the root of the group that was selected. Preconditions: check has found no error.
func (s *selection) root(args []string) (int, error) {
	switch {
	case len(args) == 0:
		return coord.FindGroup(s.group)
	case s.only:
		return pidOf(args[0]), nil
	}
	return coord.Root(pidOf(args[0])), nil
}

package main

import (
	"io"
	"text/tabwriter"

	"crak.dev/crak/fd"
)

// printOutcomes prints what becomes of descriptors.
func printOutcomes(out io.Writer, all []fd.Outcome) error {
	w := &table{w: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)}
	for _, o := range all {
		w.row("pid %d\tfd %d\t%s\t%s\t%s\n", o.Pid, o.Fd, o.Kind, o.On, o.Outcome)
	}
	return w.w.Flush()
}

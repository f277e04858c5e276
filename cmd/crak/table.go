package main

import (
	"fmt"
	"text/tabwriter"

	"crak.dev/crak/internal/printable"
)

// A table prints rows in columns.
type table struct {
	w    *tabwriter.Writer
	rows int
}

// Bounds that keep what is printed of any image in proportion to it.
const (
	alignedRows = 256  // that have the same columns, at most
	longestCell = 5000 // bytes; a path has up to 4095
)

// row prints by a format with tabs between the cells. Strings are names, or may be: they are made printable and cut.
func (t *table) row(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = printable.Text(s[:min(len(s), longestCell)])
		}
	}
	fmt.Fprintf(t.w, format, args...)
	if t.rows++; t.rows%alignedRows == 0 {
		t.w.Flush() // an error comes up again in the last Flush
	}
}

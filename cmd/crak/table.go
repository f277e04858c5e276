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

// Bounds of what is printed. They keep the output in proportion to the size of the image.
const (
	alignedRows = 256  // largest number of rows with common column widths
	longestCell = 5000 // bytes; a path has up to 4095
)

// row prints a row. The format has tabs between the cells. Strings may be names from the image: they are made printable and cut.
func (t *table) row(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = printable.Text(s[:min(len(s), longestCell)])
		}
	}
	fmt.Fprintf(t.w, format, args...)
	if t.rows++; t.rows%alignedRows == 0 {
		t.w.Flush() // the last Flush reports an error of this one
	}
}

// Command postlink hides the Go program in a libcrak.so from the loader: its segments and its relocations.
//
//	usage: postlink FROM TO
//
// FROM is what `go build -buildmode=c-shared` has linked by shim/crak.ld. TO is the same file with other headers:
//
//	dynamic section    DT_RELA and DT_RELASZ cover the resident's relocations alone
//	program headers    without the three segments of the writer
//	section headers    one section, not allocated and of the type SHT_WRITER, replaces all sections of the writer
//
// shim/load_writer.c maps and relocates the writer when the file is executed. postlink refuses a file that
// load_writer.c could not load, and says why.
package main

import (
	"bytes"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: postlink FROM TO")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "postlink: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := hide(data); err != nil {
		return err
	}
	if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, data) {
		return nil // the same file stays, because running programs may have it mapped
	}
	// The library must be executable, because it is also the writer. A program may have the old file mapped, so this is a new file.
	next := to + ".new"
	if err := os.WriteFile(next, data, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(next, 0o755); err != nil {
		return err
	}
	return os.Rename(next, to)
}

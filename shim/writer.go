// Command shim is libcrak.so, built with -buildmode=c-shared. It is two programs in one file.
//
// Preloaded into a program, it is the resident: the C files of this directory. Nothing of Go is
// mapped then, relocated or run (crak.ld, postlink).
//
// Executed, it is the writer: this file. It carries out one checkpoint, of a program that asked for it
// with a signal. load_writer.c maps Go's part of the file and starts it.
package main

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE -O2 -fvisibility=hidden -fno-stack-protector -I${SRCDIR}/../internal/abi
import "C"

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/coord"
)

const usage = "usage: LD_PRELOAD=libcrak.so PROGRAM; kill -USR2 PID; crak restart IMAGE"

// A C library has no main of Go's; the linker wants one.
func main() {}

// crak_writer is called as main by the C library, in an executed libcrak.so. It does not return. The work is done by
// another goroutine: one that C has called stays on its thread.
//
//export crak_writer
func crak_writer() {
	go func() { os.Exit(run()) }()
	select {}
}

// run serves `libcrak.so checkpoint PID`, as the resident executes it. The resident reads the exit status. What happened is
// in the log.
func run() int {
	if len(os.Args) != 3 || os.Args[1] != "checkpoint" {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	pid, err := strconv.Atoi(os.Args[2])
	if err != nil || pid <= 0 {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	coord.OfferToOOM() // before we become one that is not dumpable
	result, err := coord.Checkpoint(coord.Options{Pid: pid, Secret: secret(), Settings: settings()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "crak:", err)
		return 1
	}
	fmt.Println(result.Path)
	return 0
}

// secret is what proves that the program has started us. It comes only where the program is not dumpable (prctl(2),
// PR_SET_DUMPABLE), and then neither are we.
func secret() []byte {
	const name = "CRAK_SECRET"
	text, given := os.LookupEnv(name)
	if !given {
		return nil
	}
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	os.Unsetenv(name)
	secret, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return secret
}

// settings are those of the program. Its resident passes them on in our environment.
func settings() map[string]string {
	all := make(map[string]string)
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "CRAK_") {
			all[name] = value
		}
	}
	return all
}

// Command writer is what libcrak.so is when it is executed: it carries out one checkpoint, of a program that asked for it
// with a signal. It is linked into that file as a whole, static as it is, and never mapped where the file is only preloaded.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"crak.dev/crak/coord"
)

const usage = "usage: LD_PRELOAD=libcrak.so PROGRAM; kill -USR2 PID; crak restart IMAGE"

// main is run as `libcrak.so checkpoint PID`, by the resident, which reads the exit status. What
// happened is in the log.
func main() { os.Exit(run()) }

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
	result, err := coord.Checkpoint(coord.Options{Pid: pid, Settings: settings()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "crak:", err)
		return 1
	}
	fmt.Println(result.Path)
	return 0
}

// settings are the program's own, which its resident gives us as our environment.
func settings() map[string]string {
	all := make(map[string]string)
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "CRAK_") {
			all[name] = value
		}
	}
	return all
}

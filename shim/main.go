// Command shim is libcrak.so: preloaded into a program it is the resident, in C; executed, it is the writer.
package main

/*
#cgo CFLAGS: -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -fvisibility=hidden -I${SRCDIR}/../internal/abi
#cgo LDFLAGS: -Wl,--wrap=pthread_create -Wl,-e,crakentry -ldl
*/
import "C"

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"crak.dev/crak/coord"
)

const usage = "usage: LD_PRELOAD=libcrak.so PROGRAM; kill -USR2 PID; crak restart IMAGE"

// crakWriter is the main function of libcrak.so run as a program: `libcrak.so checkpoint PID`. The
// resident runs it so, and reads its exit status; what happened is in the log.
//
//export crakWriter
func crakWriter(argc C.int, argv **C.char) C.int {
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

func main() {}

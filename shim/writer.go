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
	"crak.dev/crak/fd"
)

const usage = "usage: LD_PRELOAD=libcrak.so PROGRAM; kill -USR2 PID; crak restart IMAGE"

// main is never called in a C library, but the linker needs it.
func main() {}

// crak_writer is the main function when libcrak.so is executed: writer_main in load_writer.c calls it. It does not return. Another
// goroutine does the work, because a goroutine that C has called cannot move to another thread.
//
//export crak_writer
func crak_writer() {
	go func() { os.Exit(run()) }()
	select {}
}

// run carries out `libcrak.so checkpoint PID`, which the resident executes. It returns the exit status, which the reaper reads. The
// log has the result.
func run() int {
	if len(os.Args) > 1 && os.Args[1] == fd.KeeperCommand { // the writer has executed it
		if err := fd.RunKeeper(os.Args[2:]); err != nil {
			return 1
		}
		return 0
	}
	if len(os.Args) != 3 || os.Args[1] != "checkpoint" {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	pid, err := strconv.Atoi(os.Args[2])
	if err != nil || pid <= 0 {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	coord.OfferToOOM() // before secret makes this process not dumpable
	result, err := coord.Checkpoint(coord.Options{
		Pid: coord.Root(pid), Starter: pid, Secret: secret(), Settings: settings(), Resumed: coord.LowerPriority,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "crak:", err)
		return 1
	}
	fmt.Println(result.Path)
	return 0
}

// secret returns the secret that the resident passes to the writer in the environment (proof.c). The resident does so only if the
// program is not dumpable (prctl(2), PR_SET_DUMPABLE). The writer then makes itself not dumpable, too.
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

// settings returns the program's settings, which the resident passes in the environment.
func settings() map[string]string {
	all := make(map[string]string)
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "CRAK_") {
			all[name] = value
		}
	}
	return all
}

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

var errCPULimit = errors.New("crak has used more CPU time than is allowed (RLIMIT_CPU)")

// withinCPULimit returns a context that is cancelled when crak reaches the soft limit of its CPU time. The kernel then sends
// SIGXCPU once in each second of CPU time, and Go's runtime would end crak with a dump of its stacks. A command that does not look at
// the context ends at the second SIGXCPU. At the hard limit the kernel sends SIGKILL.
func withinCPULimit() context.Context {
	if signal.Ignored(unix.SIGXCPU) { // crak run passes that on to the program
		return context.Background()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	reached := make(chan os.Signal, 1)
	signal.Notify(reached, unix.SIGXCPU)
	go func() {
		<-reached
		cancel(errCPULimit)
		<-reached
		say("", errCPULimit.Error())
		say("hint: ", "raise the limit: ulimit -t")
		os.Exit(exitFailed)
	}()
	return ctx
}

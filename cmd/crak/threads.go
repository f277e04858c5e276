package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// reserveThreads makes the threads whose number entry has checked, if RLIMIT_NPROC is low. The Go runtime makes a thread when it first
// needs one, and ends crak with a dump of its stacks and status 2 if it cannot. The limit counts all processes of the user, so another
// process may have started between entry's check and that moment. The runtime keeps threads that it has made.
func reserveThreads() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur >= manyProcesses {
		return
	}
	made, all := make(chan struct{}), make(chan struct{})
	for range reservedThreads {
		go func() {
			runtime.LockOSThread() // so that each of these goroutines waits in a thread of its own
			defer runtime.UnlockOSThread()
			made <- struct{}{}
			<-all
		}()
	}
	for range reservedThreads {
		<-made
	}
	close(all)
}

// Package compile turns the processes of an image into restore programs.
//
// In a nutshell: Programs takes a Target (this machine, the numbers of kernel objects that already exist, what the user
// chose) and the processes, each with what belongs to it alone. It returns the programs: lists of system calls that the
// interpreter runs.
//
//	interpreter          staging area → the root
//	pid 412 (the root)   session → its children → memory → process group → descriptors → signals → threads → ready, go
//	pid 413 (a child)    session → its children → memory → …
//	thread 414           its own state → IDs → arrive → await release → jump into the resident
//	zombie 415           session → process group → await its parent → exit
//	helper 416           session → children → process group → await its members → exit
//
// The files, by concept:
//
//	tree.go, makers.go                                the processes, and who makes each of them
//	family.go, groups.go, stop.go, terminals.go       what they do about parents, sessions, process groups, zombies, stops
//	compile.go, plan.go, room.go, target.go, uses.go  the program of a member, and what it is compiled for
//	memory.go, inherit.go, shared.go, layout.go       memory
//	descriptors.go, locks.go, batches.go              descriptors that a process has inherited, and those that it receives
//	signals.go, timers.go, undo.go, aio.go, asking.go other kernel objects of a process
//	identity.go, schedule.go, threads.go              threads, and what they are allowed to do
//	arch_amd64.go                                     the processor
//
// The package is pure: it makes no system call, and gives the same programs for the same input. The programs in
// testdata show this. It imports neither dump nor restore: it knows the image format and nothing of how the image was made.
package compile

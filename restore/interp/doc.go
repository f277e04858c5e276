// Package interp is the interpreter of restore programs: a few KB of freestanding C.
//
// In a nutshell: crak executes it from a memfd, with a control socket. It blocks all signals, copies itself to an area
// that is free in every member, and runs the programs that package restore/program has encoded. A program has system
// calls, and a few other operations: make a thread or a process with a given ID, wait for other threads, jump into the
// program's own code. The interpreter reports failures on the control socket, by number. Package restore turns the numbers
// into words.
//
// The binary, interp.bin, is made by `make` from the C files in src.
//
//	src/boot.c         from exec to the area
//	src/run.c          the loop and the operations
//	src/report.c       messages to Go
//	src/entry_amd64.S  the code that depends on the processor
package interp

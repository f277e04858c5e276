// Package interp is the interpreter of restore programs: a few KB of freestanding C.
//
// In a nutshell: it is started from a memory file with a control socket, copies itself to
// an area that is free in every member, unblocks nothing, and runs the programs that
// package restore/program has encoded: plain system calls, and the few operations that
// are none (make a thread or a process with its old ID, wait for others, jump into the
// program's own code). What goes wrong is reported on the control socket by number;
// package restore turns that into words.
//
// The binary, interp.bin, is made by `make` from the C files in src.
//
//	src/boot.c    from exec to the area
//	src/run.c     the loop and the operations
//	src/report.c what Go is told
//	src/entry_amd64.S  all that knows the processor
package interp

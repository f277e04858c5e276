// Package program defines restore programs: system calls as data.
//
// In a nutshell: a Set has one Program for each process and each thread that is restored, and the data that they point
// to. A Program is a list of Instructions without branches. An argument is a constant, an address in the data or in the
// interpreter's area, or the result of an earlier instruction. Package restore/compile builds a Set. Check finds errors
// before anything runs, Encode writes the Set for the interpreter, and Print writes it for people.
//
//	Set
//	 ├ Programs[0]   the process that crak has executed: makes the root process
//	 ├ Programs[1]   the root process: its thread group leader
//	 ├ Programs[2]   its second thread
//	 ┆
//	 └ Data          paths, structures, counters: of all programs, shared by all processes
//
// The package knows nothing of images. The layout for the interpreter is in restore/interp/src/interp.h; wire.go has it in Go.
package program

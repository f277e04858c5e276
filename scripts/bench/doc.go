// Command bench measures what CRAK costs, each time beside what it is compared with, and
// prints a table with ratios; `make bench` runs it. The numbers are also in build/bench.json.
//
//	bench [-only TEXT] [-quick]
//
// Both sides of a comparison run in turns, and the median of each counts. It is no test: a
// target that was missed is marked, and the exit status is 0 as long as everything ran.
//
//	main.go      the list of measurements
//	report.go    rows, the table, the JSON file
//	measure.go   medians, turns, running a program
//	subject.go   a program that is checkpointed and restarted
//	overhead.go  what the library costs a program that is not checkpointed
//	pause.go     what a checkpoint costs it
//	stream.go    how fast images are written and read, and their size
//	rivals.go    the same of CRIU and DMTCP, where they are installed
//	workloads/   the programs, in C
package main

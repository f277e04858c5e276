// Command bench measures what CRAK costs, and for each number one to compare it with. It prints a table with ratios, and
// writes the numbers to build/bench.json. `make bench` runs it.
//
//	bench [-only REGEXP] [-quick]
//
// The two sides of a comparison run alternately, and the table shows the median of each. It is not a test: a missed target is
// marked in the table, but does not change the exit status.
//
//	main.go      the list of measurements
//	report.go    rows, the table, the JSON file
//	measure.go   medians, turns, running a program
//	subject.go   a program that is checkpointed and restarted
//	overhead.go  what the library costs a program that is not checkpointed
//	pause.go     how long a checkpoint stops a program
//	stream.go    how fast images are written and read, and their size
//	group.go     the same for groups of processes
//	descriptors.go  what descriptors and connections add to a pause, and their restart
//	redis.go     redis-server
//	rivals.go    the same for CRIU and DMTCP, if they are installed
//	workloads/   the programs, in C
package main

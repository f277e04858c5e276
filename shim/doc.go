// Command shim is libcrak.so, built with -buildmode=c-shared. It is two programs in one file.
//
// When the file is preloaded into a program, it is the resident: the C files of this directory.
// No part of Go is mapped, relocated or run then (crak.ld, postlink).
//
// When the file is executed, it is the writer (writer.go). The writer makes one checkpoint of the program
// whose resident executed it. load_writer.c maps Go's part of the file and starts it.
//
// The files, by concept:
//
//	resident.h, syscall_amd64.h                          what the parts of the resident share; system calls without the C library
//	init.c, note.c, next.c                               the start in a program, the ELF note, the functions of the C library
//	crak.h, api.c                                        the functions for programs that take part in their checkpoints
//	signals.c, stack_amd64.S, queue.c, altstack.c        the two signals: handlers, their stacks, orders, alternate stacks
//	initiate.c, proof.c, wire.c, requests.c              the initiator: what it does, the writer's proof, the socket, requests
//	descriptors.c                                        the descriptors that the resident has open for a moment
//	park.c, thread.c, frame_amd64.c, context_amd64.S,
//	futex.c                                              parking: the threads, their state, frames and registers, waits
//	interrupted_amd64.c, interruptible_amd64.c,
//	eintr_amd64.c                                        which system call was interrupted, and when it must return EINTR
//	timeout.h, timeout.c, repeat_amd64.h,
//	repeat_amd64.c, repeat_amd64.S, rest_amd64.c         making calls again with the rest of their timeout or of their data
//	snapshot.c, spawn.c, log.c, ending.c, wait.c,
//	children.c                                           twin, writer and reaper: starting them, their end, hiding them
//	exec.c, setxid.c, pthread.c, prctl.c, tracer.c       interposed: executing, changing IDs, making threads, naming a tracer
//	cpu_time.c, cpu_time_amd64.S, cpu_usage.c,
//	cpu_until.c                                          CPU time after a restart
//	own.c, task.c, memory.c, aio.c, clock.c, decimal.c   whose memory this is, what /proc shows of a thread, memory that may
//	                                                     not be mapped, requests of kernel AIO, the clock, decimal numbers
//	writer.go, load_writer.c, entry_amd64.S              the writer: Go's main function, loading it, the entry point
package main

// Package dump turns a frozen process into records and page runs of an image.
//
// In a nutshell: while a group of processes is frozen, Capture reads the records of their memory, threads, signals, timers and
// descriptors, and collects every obstacle. It reads the members in parallel (Member.Read). Then it records, one member after the
// other, what refers to the table that the members share (Member.finish). SaveFrozen writes the content that a twin does not
// preserve: shared memory, deleted files, and memory that fork leaves out. It reads a shared object once, through the mappings of
// all members together. SavePrivate writes the private memory. It writes pages that a member has in common with its parent only
// once. It reads the memory of the twin, or of the process itself if that stays frozen.
//
//	frozen process --Capture----> image.Process, fd.Table, obstacles
//	       |       --SaveFrozen-> pages of shared objects, and of mappings that fork leaves out
//	      twin     --SavePrivate> pages of private memory
//
// The package reads /proc, and sends system calls to the initiator, the thread that carries out the freeze inside the
// process. It does not decide which processes are members, and it does not freeze or resume them: package coord does.
//
// The files, by concept:
//
//	capture.go, survey.go, process.go, readings.go    a group, before the freeze and under it; one member
//	vmas.go, memory.go, mapped_file.go,
//	object_end.go, numa.go                            mappings, and what they map
//	plan.go, frozen.go, parts.go, private.go,
//	common.go                                         which content is saved, and when; sums of mapped files
//	twin.go                                           finds the twin, and ends it
//	files.go                                          copies of files (--with-files)
//	state.go, paths.go, membarrier.go, lock_future.go,
//	processor_amd64.go                                attributes of a process
//	thread.go, traced.go, robust.go,
//	cpu_time.go                                       threads
//	pending.go, typed.go, expiry.go, overrun.go       pending signals, and timers that may expire meanwhile
//	sysv.go, sysv_objects.go, semaphores.go,
//	message_queues.go, undo*.go, segment_rest.go      System V
//	aio.go                                            contexts of kernel AIO
//	lost.go                                           attributes that a restart cannot restore
package dump

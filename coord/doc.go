// Package coord carries out a checkpoint of a running program.
//
// In a nutshell: the writer (this process) finds the program and its descendants, checks that they can be checkpointed, and freezes
// them. Package dump reads the frozen processes. They run on, and package image writes and commits the image. A phase begins only
// when every member of the group has ended the phase before.
//
//	find ─> lock ─> query ─> survey ─> create ─> freeze ─> capture ─> save ─┐
//	                                                                        │
//	     ┌────────────────────────────────────┬─────────────────────────────┤
//	     │ with twins                         │ without twins               │ --kill
//	     ▼                                    ▼                             ▼
//	  snapshot ─> resume ─> write            write ─> resume ─> commit     write ─> commit ─> kill
//	           ─> commit ─> dismiss
//
// For each phase: its name, the state of the members, what ends it, and the longest wait:
//
//	find       run      /proc shows a resident, which can take the freeze        2 s, for a program that was just executed
//	                    signal, in each process of the group (membership.go)     5 s, for a child of vfork(2), for crak run, and for
//	                                                                             a thread in an uninterruptible sleep
//	lock       run      the writer has the locks of all members                  no wait: ErrBusy
//	query      run      each resident has sent HELLO and closed the connection   5 s; 1 s for the close; 60 s, for crak_release()
//	survey     run      the obstacles that /proc shows are collected
//	create     run      the image has a directory with a hidden name
//	freeze     run      each resident has sent HELLO                             5 s, for crak_release(); 60 s in a group of one
//	           stop     every thread of each member is parked: FROZEN            20 s in the resident, 30 s here
//	           frozen   a look finds no further descendant                       30 s
//	capture    frozen   package dump has read the state of all members
//	save       frozen   content that a twin does not preserve is copied
//	snapshot   frozen   every initiator has forked its twin
//	resume     frozen   the writer has sent RESUME to all: the pause is over
//	write      run      the memory of the twins is written                       (without twins the members are frozen)
//	commit     run      the files are synced, the directory has its final name   (with --kill the members are frozen)
//	dismiss    run      the twins have ended, and the members have reaped them   30 s
//	kill       frozen   the members have ended                                   30 s
//
// Each phase deals with the members in parallel. Save and write do not: there the image's writer uses all processors for one
// member.
//
// Who is a member. The writer reads the children of every member in /proc, and their children, until it finds no new process.
// Members that run may fork, so the writer looks again during the freeze: a frozen process has no new children. When all processes
// that it has found are frozen, and a second look finds no other process, the group is complete. Reaper and twin are no members
// (their exit signal is 255, see abi.ExitSignal), and the writer is none. If a process ends before it is frozen, the writer leaves
// it out. If a process executes another program before it is frozen, the writer begins anew with this process. After the freeze the
// end of a member is an error. Children that have ended, and for which their parent has not waited yet, are zombies in the image.
//
// testdata/barrier.pml is a model of the phases for spin(1).
//
// Some obstacles may soon be gone if the program runs on (passing.go), such as a connection that the server is about to accept.
// Then the writer lets the program run on for a moment, and repeats the phases from create. It gives up when these moments add up
// to two seconds. If mappings changed in a way that only a frozen program can show (dump.ErrChanged), the phases from create are
// repeated once. The flags of the mappings are then read under the freeze.
//
// Bounds of a freeze: a message of the resident takes 30 s at most, all its messages together take 2 minutes. The resident
// resumes the program if no message from the writer arrives for CRAK_FREEZE_LIMIT. While the work makes progress, the keepalive
// (frozen.go) sends messages to all members. Before RESUME, and with --kill just before the commit, Confirm makes sure that the
// program is still frozen. It asks the resident if half of the freeze limit has passed since the last answer.
//
// On a failure in any phase the writer closes all connections. If the writer was killed, the kernel closes them. The initiators
// then read end-of-file, every thread runs on, and the twins exit. The error names the member that has failed. The writer removes
// the hidden directory. If the writer was killed, the next checkpoint removes it.
//
// Locks, in the order in which they are taken:
//
//	flock(2) on /proc/PID/environ   one writer for each process, for the whole checkpoint (lock.go): in the order of the PIDs,
//	│                               without waiting, so that one of two writers gets all
//	└── own.freezing                one freeze for each process, in the resident's memory (shim/initiate.c)
//
// The files, by concept:
//
//	checkpoint.go, phases.go, survey.go, freeze.go,
//	save.go                                              the phases of one checkpoint
//	passing.go, uninterruptible.go                       when a checkpoint waits, and tries again
//	options.go, check.go, programs.go                    what commands pass and get; crak check and crak ps
//	membership.go, find.go, admit.go, group_id.go,
//	relatives.go, dependencies.go, waits.go              which processes are members, and which of these need a process that is not
//	member.go, candidate.go, handler.go, library.go,
//	executed.go, order.go, starving.go, stops.go         one member: whether it can be frozen, and how it gets an order
//	frozen.go, twin.go, lock.go                          what keeps it frozen, its twin, its lock
//	rights.go, apart.go, together.go, sessions.go        users of members, what members share, sessions of other shells
//	explain.go, stuck.go                                 why it does not work
//	descriptors.go, room.go, heap.go, priority.go,
//	parallel.go                                          what the writer itself takes: descriptors, memory, processors
//	records.go, manifest.go, files.go, log.go            the records, the manifest, the copies of files, the log
//	trigger.go, preloadable.go                           what crak run checks
//	frame_amd64.go, machine_amd64.go                     the processor
package coord

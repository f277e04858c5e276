// Package coord carries out a checkpoint of a running program.
//
// In a nutshell: the writer (this process) finds the program and its descendants, checks that they can be checkpointed, and
// freezes them. Package dump reads the frozen processes. They run on, and package image writes and commits the image. Every member
// of the group has reached a phase before the next one begins.
//
//	find ─> lock ─> query ─> survey ─> create ─> freeze ─> capture ─> save ─┐
//	                                                                        │
//	     ┌────────────────────────────────────┬─────────────────────────────┤
//	     │ with twins                         │ without twins               │ --kill
//	     ▼                                    ▼                             ▼
//	  snapshot ─> resume ─> write            write ─> resume ─> commit     write ─> commit ─> kill
//	           ─> commit ─> dismiss
//
// The phases, the state of the members in each of them, what ends the phase, and the longest wait:
//
//	find       run      /proc shows a resident, which can take the freeze        2 s, for a program that was just executed
//	                    signal, in each process of the group (membership.go)     5 s, for a child of vfork(2)
//	lock       run      the writer has the locks of all members                  no wait: ErrBusy
//	query      run      each resident has sent HELLO and closed the connection   5 s; 1 s for the close; 60 s, for crak_release()
//	survey     run      the obstacles that /proc shows are collected
//	create     run      the image has a directory with a hidden name
//	freeze     run      each resident has sent HELLO                             5 s, for crak_release(); 60 s in a group of one
//	           stop     every thread of each member is parked: FROZEN            20 s in the resident, 30 s here
//	           frozen   a look finds no further descendant                       30 s
//	capture    frozen   package dump has read the state of all members
//	save       frozen   content that a fork cannot hold still is copied
//	snapshot   frozen   every initiator has forked its twin
//	resume     frozen   the writer has sent RESUME to all: the pause is over
//	write      run      the memory of the twins is written                       without twins the members are frozen
//	commit     run      the files are synced, the directory has its final name   with --kill the members are frozen
//	dismiss    run      the twins have ended, and the members have reaped them   5 s
//	kill       frozen   the members have ended                                   5 s
//
// Each phase deals with the members in parallel, except where the image's writer is busy anyway: save, and write.
//
// Who is a member. The writer reads the children of every member in /proc, and their children, until it finds nobody new. While
// they run they fork, so it looks again during the freeze: a frozen process has no new children. When all that it has found
// are frozen and a second look finds nobody, no descendant is left out. The resident's own children have the freeze signal as
// their exit signal and are not members, nor is the writer. A process that has ended, or executes another program, before it is
// frozen is left out, and is looked at again. Once it is frozen, its end is an error. Children that have ended and were not waited
// for are zombies in the image.
//
// testdata/barrier.pml is a model of this for spin(1).
//
// If mappings changed in a way that only a frozen program can show (dump.ErrChanged), the phases from create are repeated
// once. The flags of the mappings are then read under the freeze.
//
// Bounds of a freeze: a message of the resident takes 30 s at most, all its messages together take 2 minutes. The resident
// resumes the program if no message from the writer arrives for CRAK_FREEZE_LIMIT. While the work makes progress,
// the keeper sends messages to all members. Confirm asks the resident whether the program is still frozen: just before the commit with
// --kill, and before RESUME.
//
// On a failure in any phase the writer closes all connections. If the writer was killed, the kernel closes them. The initiators
// then read end-of-file and every thread runs on; the twins exit. The error names the member that has failed. The writer removes the hidden directory; that of a killed
// writer is removed by the next checkpoint.
//
// Locks, in the order in which they are taken:
//
//	flock(2) on /proc/PID/environ   one writer for each process, for the whole checkpoint (lock.go): in the order of the PIDs,
//	│                               and without waiting, so that of two writers one gets all
//	└── own.freezing                one freeze for each process, in the resident's memory (shim/initiate.c)
package coord

// Package coord carries out a checkpoint of a running program.
//
// In a nutshell: the writer (this process) finds the program and its descendants, checks that they can be checkpointed, and
// freezes them. Package dump reads the frozen processes. They run on, and package image writes and commits the image. Every member
// of the group has reached a phase before the next one begins.
//
//	find ─> lock ─> query ─> survey ─> create ─> freeze ─> capture ─> save ─┐
//	                                                                             │
//	     ┌────────────────────────────────────┬──────────────────────────────────┤
//	     │ with a twin                        │ without a twin                   │ --kill
//	     ▼                                    ▼                                  ▼
//	  snapshot ─> resume ─> write            write ─> resume ─> commit          write ─> commit ─> kill
//	           ─> commit ─> dismiss
//
// The phases, the state of the program in each of them, what ends the phase, and the longest wait:
//
//	find       runs     /proc shows a resident in the program and each           200 ms, if it is in execve(2)
//	                    descendant, which can take the freeze signal
//	lock       runs     the writer has the locks of all members                  no wait: ErrBusy
//	query      runs     the resident has sent HELLO and closed the connection    5 s; 1 s for the close
//	survey     runs     the obstacles that /proc shows are collected
//	create     runs     the image has a directory with a hidden name
//	freeze     runs     the resident has sent HELLO                              60 s, for crak_release()
//	           stops    every thread is parked: FROZEN                           20 s in the resident, 30 s here
//	           frozen   a look finds no further descendant                       30 s
//	capture    frozen   package dump has read the state of the process
//	save       frozen   content that a fork cannot hold still is copied
//	snapshot   frozen   the initiator has forked the twin
//	resume     frozen   the writer has sent RESUME: the pause is over
//	write      runs     the memory of the twin is written                        without a twin the program is frozen
//	commit     runs     the files are synced, the directory has its final name   with --kill the program is frozen
//	dismiss    runs     the twin has ended, and the program has reaped it        5 s
//	kill       frozen   the program has ended                                    5 s
//
// If mappings changed in a way that only a frozen program can show (dump.ErrChanged), the phases from create are repeated
// once. The flags of the mappings are then read under the freeze.
//
// Bounds of a freeze: a message of the resident takes 30 s at most, all its messages together take 2 minutes. The resident
// resumes the program if no message from the writer arrives for CRAK_FREEZE_LIMIT. While the work makes progress,
// keepFrozen sends messages. Confirm asks the resident whether the program is still frozen: just before the commit with
// --kill, and before RESUME.
//
// On a failure in any phase the writer closes the connection. If the writer was killed, the kernel closes it. The initiator
// then reads end-of-file and every thread runs on; the twin exits. The writer removes the hidden directory; that of a killed
// writer is removed by the next checkpoint.
//
// Locks, in the order in which they are taken:
//
//	flock(2) on /proc/PID/environ   one writer for each process, for the whole checkpoint (lock.go)
//	└── own.freezing                one freeze for each process, in the resident's memory (shim/initiate.c)
package coord

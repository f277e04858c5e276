// Package dump turns a frozen process into records and page runs of an image.
//
// In a nutshell: while the process is frozen, Capture reads everything that will not wait
// (records of memory, threads, signals, timers, descriptors) and collects every obstacle;
// SaveFrozen writes the content that no twin can hold still (shared memory, deleted files,
// memory that fork leaves out). From the twin, or from the process itself where it stays frozen,
// SavePrivate then streams the private memory.
//
//	frozen process --Capture----> image.Process, fd.Table, obstacles
//	       |       --SaveFrozen-> pages of shared objects, of unforkable mappings
//	      twin     --SavePrivate> pages of private memory
//
// Everything is read through /proc and by system calls that the process's own
// leader makes. It does not decide who is a member, nor freeze or resume anybody: that is coord's.
package dump

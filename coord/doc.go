// Package coord leads the processes of a group through a checkpoint.
//
// In a nutshell: find the members, make sure that each can be checkpointed, freeze them, have
// package dump read them, let them go, have the image written.
//
//	locked ──query──> known ──freeze──> frozen ──snapshot──> running, with a twin ──write──> committed
//	                    │                 │ │                       │
//	                    └────── any failure: Close: everyone runs on, the partial image is removed
//	                                        └──fork refused, --kill──> stays frozen while it is read
//
// Locks: one checkpoint at a time for a process (flock on a file of /proc/PID that only those can open who may
// trace it, dropped by the kernel with its holder). A group has one member so far; the phases are those of many.
package coord

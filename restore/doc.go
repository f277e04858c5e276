// Package restore brings the processes of an image back.
//
// In a nutshell:
//
//	err := restore.Check(img, env)             // every obstacle, before anything runs
//	status, err := restore.Run(ctx, options)   // restart, and wait for the program's end
//
//	crak restart                interpreter            member 412            thread 413
//	  makes kernel objects
//	  starts ─────────────────> waits
//	  compiles, checks ───────> maps its area
//	                            clone3(412) ─────────> reports "begun"
//	  learns its PID            exits                  makes its children
//	                                                   maps, reports "mapped"
//	  writes the pages <────────────────────────────── waits
//	  its turn ──────────────────────────────────────> descriptors, signals …
//	                                                   clone3(413) ─────────> its own state
//	                                                   limits, timers, IDs    waits
//	                                                   reports "ready"
//	  cuts files back <─────────────────────────────── waits                        (every member is ready)
//	  go ────────────────────────────────────────────> arms timers
//	                                                   jumps ───────────────> jumps
//	                                                   both are in the resident
//	  a byte <──────────────────────────────────────── unmaps the interpreter
//	  waits for the end                                runs on                runs on
//
// The root is a child of crak restart, because the interpreter makes it with CLONE_PARENT. There is one exception: if a thread of
// the root has a parent-death signal, and the user gives --detach, the root is a child of the interpreter. The interpreter exits
// before the root sets that signal.
//
// All numbers (PIDs, TIDs, addresses, descriptors) are as they were. If the PIDs are taken, or crak must not choose PIDs, crak
// executes itself as process 1 of a new PID namespace, does the same there, and reaps the processes of the namespace. The
// namespace ends with the root. If the program was process 1 itself, the interpreter is process 1 of the new namespace and
// becomes the program.
//
// The files, by concept:
//
//	check.go, options.go, run.go, plan.go, pids.go     the functions that commands call
//	seen.go                                            what crak has found out about files
//	group.go, prepare.go, launch.go, member.go,
//	interpreter.go                                     one restart, and its processes
//	coordinator*.go, events.go                         the order of a restart, and its messages
//	stopped.go                                         members that were stopped
//	family.go, failure.go, deadlock.go, zombies.go,
//	stuck.go                                           what can go wrong: which process has ended, and why; the end of all
//	files.go, memory.go, sysv*.go, descriptors.go      kernel objects that crak makes and the interpreter inherits
//	plan_descriptors.go, batches.go                    descriptions that crak makes later, a batch at a time
//	target.go, addressspace.go, clocks.go, vdso*.go,
//	aio.go                                             this machine
//	fill.go, adjust.go, cpu_time*.go, robust.go        what crak writes into a member
//	namespace*.go, network.go                          new namespaces: crak outside, crak inside, their messages
//	foreground.go, terminals.go                        the terminal and the signals; pseudo-terminals of the group
//	taken.go                                           who has a number that the program needs
//
// The packages import one another in one direction:
//
//	cmd/crak ──> restore ─┬─> restore/compile ──> restore/program    image to programs; programs as data
//	                      ├─> restore/program                        (program/wire.go has the structures of interp's header)
//	                      └─> restore/interp                         the C program that runs them
package restore

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
//	                            clone3(412) ─────────> empties its memory
//	                            exits                  maps, reports
//	  writes the pages <────────────────────────────── waits
//	  a byte ─────────────────────────────────────────> descriptors, signals …
//	                                                   clone3(413) ─────────> its own state
//	                                                   jumps into the resident
//	  a byte <──────────────────────────────────────── unmaps the interpreter
//
// A member is a child of crak restart: the interpreter makes it with CLONE_PARENT
// (a detached one that wants a signal at the end of its parent is the interpreter's, which ends before that is asked for). All
// numbers (PIDs, TIDs, addresses, descriptors) are the old ones. Where the PIDs cannot be
// had, crak runs itself again as process 1 of a new PID namespace, does the very same
// there, and then looks after the namespace. Where the member was process 1 itself, the interpreter
// begins the namespace and becomes the member.
//
// Compiling (compile_*.go) makes no system call, and gives the same programs for the same image
// and target. It does not know how an image came to be: dump is no import of it.
package restore

// Package program is the restore program: system calls as data.
//
// In a nutshell: a Set holds one Program for each process and thread that is to come back,
// and the data they point to. A Program is a straight list of Instructions; an argument is
// a constant, an offset into the data, or the result of an earlier instruction. A Set is
// built by package restore, checked (Check) before anything runs, encoded (Encode) for the
// interpreter, and printed (Print) for people.
//
//	Set
//	 ├ Programs[0]   makes the members            (runs in the interpreter's first process)
//	 ├ Programs[1]   a member: thread group leader
//	 ├ Programs[2]   its second thread
//	 ┆
//	 └ Data          paths, structures; shared by all
//
// It knows nothing of images. The wire layout is in interp/src/interp.h, mirrored by wire.go.
package program

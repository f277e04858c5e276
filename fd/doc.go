// Package fd has everything about open file descriptions: their records in an image, how they are captured from a frozen
// process, how a restart makes them again, and which ones a checkpoint refuses.
//
// In a nutshell:
//
//	table := &fd.Table{}
//	d, err := fd.Look(&fd.Member{Pid: 412, Inside: 412, Proc: "/proc/412", Seen: &table.Seen, Calls: initiator.Calls})
//	d.Ask(questions)                                            // these two for each member
//	descriptors, err := fd.CaptureGroup([]*fd.Descriptors{d}, table)
//	// table.Descriptions and table.Memory go into the image, table.Contents() into its pages,
//	// table.Obstacles stop the checkpoint.
//
//	env := &fd.Env{Files: fd.Keep, Memory: objects.File, Notice: warn}
//	obstacles := fd.CheckGroup(group, env)            // makes nothing
//	file, err := fd.Make(group.Descriptions[0], env)  // one new open file description
//	err = env.Commit()                                // cuts files back, if the user asked for that
//
// Each kind of description has one file, with its record type and a value of type kind. kinds.go lists the kinds:
//
//	regular.go      files with a path, and files that were deleted while open (unlinked.go)
//	directory.go    directories, with the position of getdents
//	pathonly.go     descriptors of O_PATH
//	device.go       devices without state, such as /dev/null
//	terminal.go     the program's terminal
//	pipe.go         stdin, stdout and stderr that are pipes to another process
//	pipe_object.go  pipes and FIFOs that only the group has open (pipe_ends.go and holders.go find out who has one open)
//	memfd.go        memfd_create
//	special.go      files of /proc, /sys and the like
//	unsupported.go  everything else, refused by name (inherited.go tells which descriptors the program inherited)
//
// Members of a group share descriptions. kcmp(2) tells which descriptors have the same one (seen.go; alone.go, if kcmp is
// forbidden). Each description is captured once (group.go).
//
// A user can leave a descriptor out of the image, or have /dev/null in its place (override.go).
//
// The content of a file without a name (deleted, O_TMPFILE, memfd) is a memory object of the group. So descriptors and
// mappings of one file come back as one file.
//
// Make does not do what the kernel applies to the calling process: POSIX locks and flock (Lock.Type "POSIX", "FLOCK"),
// the owner of I/O signals (Description.Owner), and O_ASYNC, which needs the owner. The restored process does these
// itself. Make does the rest, including OFD locks and leases.
//
// A restart finds a file by its path. decision.go decides whether the file is good enough. openat.go checks the file before
// it opens it, checks again what it has opened, and then uses that descriptor only. Files of mappings (mapped.go)
// are found in the same way. standin.go makes the file that --force puts in the place of a missing one.
//
// Package fd does not choose the descriptor numbers of a process. It never creates, truncates or removes a file that it
// did not make, except in Env.Commit with the policy Rewind.
package fd

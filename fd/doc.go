// Package fd knows every kind of open file description: its record on disk, how it is
// captured from a frozen process, how it is made again, and what is refused.
//
// In a nutshell:
//
//	table := &fd.Table{}
//	descriptors, err := fd.Capture(&fd.Member{Pid: 412, Inside: 412, Proc: "/proc/412", Calls: leader.Calls}, table)
//	// table.Descriptions and table.Memory go into the image, table.Contents() into its pages,
//	// table.Obstacles stop the checkpoint.
//
//	env := &fd.Env{Files: fd.Keep, Memory: objects.File, Notice: warn}
//	obstacles := fd.CheckGroup(group, env)            // makes nothing
//	file, err := fd.Make(group.Descriptions[0], env)  // one new open file description
//	err = env.Commit()                                // cuts files back where that was asked for
//
// A kind is one file that holds its record type and a value of type kind; kinds.go lists them:
//
//	regular.go    files with a path, and files deleted while open (unlinked.go)
//	directory.go  directories, with the position of getdents
//	pathonly.go   descriptors of O_PATH
//	device.go     /dev/null and its kin
//	terminal.go   the terminal that the program is used from
//	pipe.go       stdin, stdout and stderr that are pipes to the outside
//	pipe_object.go  pipes and FIFOs that only the group has open (pipe_ends.go, holders.go find that out)
//	memfd.go      memfd_create
//	unsupported.go  the rest, refused by name (inherited.go says what the program did not open itself)
//
// A user can leave descriptors out of the image, or have /dev/null in their place (override.go).
//
// The content of a file that has no name any more (deleted, O_TMPFILE, memfd) is a memory object
// of the group, so that descriptors and mappings of one file come back as one file.
//
// What a restored process has to do itself, because it is said of "the caller": POSIX locks and flock
// (Lock.Type "POSIX", "FLOCK"), the owner of I/O signals (Description.Owner), and O_ASYNC after it. Make does the
// rest, OFD locks and leases included.
//
// A file is found again by its path, and taken if decision.go finds it good: it is looked at before it is opened and again as it was
// opened, and then used by that descriptor alone (openat.go). The files of mappings (mapped.go) go the same way. What
// stands in for a file that is gone is in standin.go.
//
// It does not decide which descriptor numbers a process gets, and never creates, truncates or
// removes a file that it did not make, but for Env.Commit with Rewind.
package fd

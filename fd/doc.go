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
//	files, err := fd.MakeAll(fd.Order(group), env)    // new open file descriptions
//	err = attach.Attach(description)                  // what only a member can do, as system calls of its restore program
//	err = env.Commit()                                // cuts files back, if the user asked for that
//
// Each kind of description has one file, with its record type and a value of type kind. kinds.go lists the kinds. Kinds of
// objects, of which several descriptions are ends or views, have a value of type objectKind; object.go lists them:
//
//	regular.go      files with a path, and files that were deleted while open (unlinked.go, attributes.go, other_name.go)
//	file_copy.go    copies of regular files that the group can write to (put_back.go puts them back)
//	directory.go    directories, with the position of getdents
//	pathonly.go     descriptors of O_PATH
//	device.go       devices without state, such as /dev/null
//	terminal.go     the program's terminal
//	pipe.go         stdin, stdout and stderr that are pipes to another process
//	pipe_object.go  pipes and FIFOs that only the group has open (pipe_ends.go and holders.go find out who has one open)
//	memfd.go        memfd_create
//	mqueue.go       POSIX message queues (mqueue_exchange.go and mqueue_list.go read their messages, mqueue_messages.go puts them
//	                into a new queue, mqueue_notify.go has notifications)
//	eventfd.go      eventfd
//	timerfd.go      timerfd_create
//	signalfd.go     signalfd
//	pidfd.go        pidfds (handover.go: what one member makes and others get; deferred.go: if it is in a queue)
//	inotify.go      inotify instances (watched.go finds what they watch)
//	epoll.go        epoll instances (epoll_attach.go registers the targets, epoll_poll.go has busy polling)
//	unix_socket.go  Unix sockets (unix_object.go has the record; unix_made.go, unix_bind.go and unix_fill.go make them; unix_diag.go,
//	                unix_name.go, unix_queue.go, unix_rights.go, unix_urgent.go and unix_senders.go have their parts)
//	tcp_socket.go   TCP sockets (tcp_object.go and tcp_connection.go make them; tcp_queue.go, tcp_urgent.go and tcp_options.go have
//	                their parts; tcp_find.go finds their peers; tcp_outside*.go, tcp_hold.go and tcp_inject.go have connections to
//	                processes outside, tcp_rights.go and tcp_keeper*.go the rights that these need; tcp_choice.go and
//	                tcp_reconnect.go have what the user chooses for these)
//	passing.go      obstacles that may soon be gone if the program runs on, so that the writer tries again
//	socket.go       what all sockets have in common: protocols; options (socket_options.go, inet_options.go), filters
//	                (socket_filter.go), addresses (inet_address.go), and the sockets that the kernel lists (inet_diag.go)
//	inet_socket.go  sockets of UDP, UDP-Lite, ICMP and raw sockets (inet_made.go makes them, inet_queue.go, inet_deliver.go,
//	                inet_multicast.go and inet_raw.go have their parts)
//	netlink_socket.go  netlink sockets
//	packet_socket.go   packet sockets
//	pty.go          pseudo-terminals that the group has made (pty_find.go, pty_object.go and pty_number.go have their
//	                parts; pty_content.go, pty_list.go, pty_modes.go and pty_fill.go have what waits in them)
//	special.go      files of /proc, /sys and the like
//	namespace.go    the namespaces in which the group is
//	unsupported.go  everything else, refused by name (inherited.go tells which descriptors the program inherited)
//
// What the user chooses: override.go (--fd), relocation.go (--path), addresses.go (--addr). outcome.go tells what becomes of each descriptor.
//
// Members of a group share descriptions. kcmp(2) tells which descriptors have the same one (seen.go, kcmp.go;
// alone.go, if kcmp is forbidden). Each description is captured once (group.go).
//
// # How a restart makes descriptions
//
// In four phases. Each is over for all descriptions of the group before the next one begins. Within a phase, a description
// comes after those that it refers to (references.go).
//
//	create   crak      the description exists; its object is made, empty, by the first description that needs it
//	connect  crak      it is joined with the descriptions that it refers to
//	fill     crak      content is put in: bytes, messages, counts
//	attach   a member  what only a process of the group can do: see Attach (attach.go)
//
// # How to add a kind
//
// A kind is one new file here, one entry in kinds.go, one script in testdata, and lines in README.md (what comes back), FORMAT.md
// (the record), DESIGN.md (the table "What is restored") and CHANGELOG.md:
//
//  1. Name a record type: the state that makes the description what it is, and nothing that a restart can find out.
//  2. Write is: by the link in /proc (open.link), the file type, or the device. The first kind of the list that matches is
//     used, so a special kind stands before a general one. Take the name out of the list in unsupported.go.
//  3. Write capture. It reads what the kernel shows of the description (open.handle, and the text of fdinfo), and never changes
//     it: no read(2), no fcntl that sets something. What only the frozen process can ask goes through capture.questions: fill
//     in the record when the answer comes. If it refers to other descriptions, fill in their numbers in capture.later.
//     If CRAK does not know how to restore some state, return an obstacle.Obstacle as the error.
//  4. If several descriptions can be views of one thing, that thing is an object: write an objectKind, add it to the list in
//     object.go, and set capture.object.
//  5. Write create. It makes the description without what needs other descriptions, and takes nothing in the record on trust:
//     a number that is too large, negative or inconsistent is an error. check tells in advance what would go wrong.
//  6. Write connect, fill, attach and refers if the kind needs them. The member's system calls in attach cannot read memory
//     or branch: one that may fail is marked MayFail, and its result is kept by Keep. If only a member can make the description,
//     write byMember, too (handover.go). If the record has paths, write paths, for crak restart --path (relocation.go).
//  7. The script checks the state from inside the program before and after: in one process, in processes that share the
//     description, and with two sides in different processes. fd/fuzz_test.go and fd/format_test.go get an example of the record.
//
// A user can leave a descriptor out of the image, or have /dev/null in its place (override.go).
//
// The content of a file without a name (deleted, O_TMPFILE, memfd) is a memory object of the group. So descriptors and
// mappings of one file come back as one file.
//
// MakeAll does not do what the kernel applies to the calling process: POSIX locks and flock (Lock.Type "POSIX", "FLOCK"),
// the owner of I/O signals (Description.Owner), and O_ASYNC, which needs the owner. The restored process does these
// itself (package restore/compile). MakeAll does the rest, including OFD locks and leases.
//
// A restart finds a file by its path. decision.go decides whether the file is good enough. openat.go checks the file before
// it opens it, checks again what it has opened, and then uses that descriptor only. Files of mappings (mapped.go)
// are found in the same way. standin.go makes the file that --force puts in the place of a missing one.
//
// Package fd does not choose the descriptor numbers of a process. It never truncates or removes a file that it did not make, except
// in Env.Commit with the policy Rewind. It renames a socket file that an ended process has left, and renames it back if the restart
// fails (unix_bind.go).
package fd

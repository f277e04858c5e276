// Package fd has everything about open file descriptions: their records in an image, how they are captured from a frozen
// process, how a restart makes them again, and which ones a checkpoint refuses.
//
// In a nutshell:
//
//	table := &fd.Table{}
//	d, err := fd.Look(&fd.Member{Pid: 412, Inside: 412, Proc: "/proc/412", Seen: &table.Seen, Calls: initiator.Calls})
//	d.Ask(questions)                                            // call Look and Ask once for each member
//	descriptors, err := fd.CaptureGroup([]*fd.Descriptors{d}, table)
//	// table.Descriptions and table.Memory go into the image, table.Contents() into its pages,
//	// table.Obstacles stop the checkpoint.
//
//	env := &fd.Env{Files: fd.Keep, Memory: objects.File, Notice: warn}
//	obstacles := fd.CheckGroup(group, env)            // makes nothing
//	files, err := fd.MakeAll(fd.Order(group), env)    // new open file descriptions
//	err = attach.Attach(description)                  // what only a member can do, as system calls of its restore program
//	err = env.Commit()                                // cuts files back, if the user asked for that, and puts back files that the image has
//
// # The files
//
// A file is named for a kind of description or for a concept. What a kind needs besides its record has the kind's name and one of
// these suffixes: _object (the record of an object), _find and _diag (what the kernel tells about it), _queue and _content (its
// content at the checkpoint), _made (the new one in a restart), _fill (puts the content in), _options.
//
// What several kinds use:
//
//	member.go, look.go, view*.go, place.go      the descriptors of a member, as /proc shows them (view_all.go: on all processors)
//	handle.go, fdinfo.go, own_info.go,
//	events.go, owner.go                         what the writer asks about a description
//	questions.go, call_list.go                  what the initiator of a member asks
//	seen.go, kcmp.go, alone.go                  which descriptors of a group have the same description: kcmp(2) tells, if it is allowed
//	group.go, reading.go, table.go              capture of all descriptions of a group, each once; reading.go: on all processors
//	holders.go, private.go, inherited.go        other processes that have the same thing open
//	passing.go                                  obstacles that may soon be gone if the program runs on, so that the writer tries again
//	env.go, make.go, references.go              a restart makes the descriptions, in the order of their references
//	attach.go, handover.go, deferred.go         what only a member can make
//	inside.go                                   what only the group can make ready, in the sense of poll(2)
//	async.go                                    O_ASYNC where only open(2) sets it
//	lesser.go                                   what processes of other users may get, if root restarts them
//	override*.go, relocation.go, addresses.go   what the user chooses: --fd, --path, --addr (changes.go applies them)
//	outcome.go                                  what becomes of each descriptor
//	locks.go, locked.go                         locks and leases
//
// Files by their paths:
//
//	regular.go      files with a path, and files that were deleted while open (unlinked.go, tmpfile.go, attributes.go, other_name.go)
//	file_copy.go    copies of regular files that the group can write to (put_back*.go puts them back)
//	directory.go    directories, with the position of getdents
//	pathonly.go     descriptors of O_PATH
//	mapped.go       files of mappings
//	openat.go       finds and opens a file
//	compare.go      compares a file with what it was (content.go reads it, decision.go decides, policy.go has --files)
//	standin.go      makes the file that --force puts in the place of a missing one
//
// Kinds of descriptions have a value of type kind, and kinds.go lists them. Kinds of objects, of which several descriptions are ends
// or views, have a value of type objectKind, and object.go lists them:
//
//	device.go       devices without state, such as /dev/null
//	special.go      files of /proc, /sys and the like
//	namespace.go    the namespaces in which the group is
//	terminal.go     the program's terminal (modes.go)
//	pty*.go         pseudo-terminals that the group has made
//	pipe.go         stdin, stdout and stderr that are pipes to another process
//	pipe_object.go  pipes and FIFOs that only the group has open (pipe_ends.go, pipe_made.go, pipe_slots.go)
//	memfd.go        memfd_create
//	mqueue*.go      POSIX message queues: only taking a message out reads it (mqueue_exchange.go, mqueue_list.go)
//	eventfd.go      eventfd
//	timerfd.go      timerfd_create
//	signalfd.go     signalfd
//	pidfd.go        pidfds
//	inotify*.go     inotify instances (watched.go finds what they watch)
//	epoll*.go       epoll instances
//	socket.go       what all sockets have in common (socket_options.go, socket_filter.go)
//	unix_*.go       Unix sockets (unix_removed.go: whose files were removed or renamed)
//	inet_*.go       lists of sockets (inet_list.go, inet_diag.go), sockets of UDP, UDP-Lite, ICMP and raw sockets; addresses and options of all Internet sockets
//	tcp_*.go        TCP sockets: what a checkpoint reads (tcp_find.go, tcp_reading.go, tcp_options.go), connections within the group (tcp_connection.go), to processes outside (tcp_outside*.go, tcp_hold.go,
//	                tcp_inject.go) with the rights that these need (tcp_rights.go, tcp_keeper*.go, tcp_guard.go), and what the user chooses for these
//	                (tcp_choice.go, tcp_reconnect.go)
//	netlink_socket.go  netlink sockets
//	packet_*.go     packet sockets
//	unsupported.go  everything else, refused by name
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
// If the limit of descriptors is too low for all descriptions at once, crak makes some of them when the members exist: those that refer to
// nothing and to which nothing refers (separate.go).
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
//     If CRAK does not know how to restore some state, return an obstacle.Obstacle as the error. If reading takes many system calls and
//     no other description, set later, and have it read on all processors (readLater in reading.go).
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
// The content of a file without a name (deleted, O_TMPFILE, memfd) is a memory object of the group. So descriptors and
// mappings of one file come back as one file.
//
// MakeAll does not do what the kernel applies to the calling process: POSIX locks and flock (Lock.Type "POSIX", "FLOCK"),
// the owner of I/O signals (Description.Owner), and O_ASYNC, which needs the owner. The restored process does these
// itself (package restore/compile). MakeAll does the rest, including OFD locks and leases.
//
// A restart finds a file by its path. It checks the file before it opens it, checks again what it has opened, and then uses that
// descriptor only (openat.go). Files of mappings are found in the same way.
//
// Package fd does not choose the descriptor numbers of a process. Only Env.Commit changes or removes a file that the package did
// not make: it cuts files back (the policy Rewind), puts back files of which the image has a copy (put_back.go), and removes old
// socket files. Before that, such a socket file, which an ended process has left, is only renamed. It is renamed back if the
// restart fails (unix_bind.go).
package fd

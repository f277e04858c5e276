// Package image is crak's image format: a directory that holds one committed
// checkpoint of a group of processes.
//
// In a nutshell:
//
//	w, err := image.Create(dir, image.Options{Program: "app", Pid: 412})
//	defer w.Abort()                                   // has no effect after a Commit
//	err = w.Put(image.ProcessSpace(412), runs, read)  // page contents, in parallel
//	path, err := w.Commit(manifest, group)            // the image appears whole, or not at all
//
//	img, err := image.Open(path)                      // checks everything but the page contents
//	defer img.Close()
//	err = img.Fill(ctx, image.ProcessSpace(412), 0, write)
//
// On disk (FORMAT.md is the specification):
//
//	app.412/                  program directory
//	├── latest -> 2
//	├── 1/ …
//	├── 2/
//	│   ├── manifest.json     format, host, options, sizes and SHA-256 of the rest
//	│   ├── group.json        Group: what the processes share, everything but page contents
//	│   ├── processes.json    a Process on each line
//	│   ├── pages.idx         frames: position, addresses and CRC-32C of each
//	│   └── pages.bin         the frames' bytes
//	└── .3.partial/           being written, locked with flock(2); removed later if its writer was killed
//
// Content belongs to a space (the memory of a process, a shared memory object, a kernel object) and is stored in
// frames of up to 1 MiB. Writer and Image stream it: neither keeps anything in memory whose size depends on the memory
// of the program.
//
// Locks: Writer.mu protects the end of pages.bin and the index together. Writer.failed has a lock of its own, which is taken
// last. A Fill has one lock, for its position in the index.
//
// The package checks that an image is whole and that its parts agree. It does not check whether the image can be restarted.
//
// The files, by concept:
//
//	group.go, mapping.go, thread.go, description.go,
//	object.go, sysv.go, address.go, signal_info.go,
//	aio.go, network.go                                 the records, as they are in JSON
//	manifest.go                                        manifest.json
//	processes.go                                       processes.json
//	json.go, shape.go, text.go                         JSON: bounds of memory, names that are no valid UTF-8
//	check*.go, bounds.go, coverage.go                  checks of the records, and of the runs
//	space.go, frame.go, index.go, index_reader.go,
//	scan.go                                            pages.idx
//	place.go, writer.go, pack.go, queue.go, clone.go,
//	disk.go, zstd.go, commit.go                        writing an image
//	same.go                                            content that a process shares with its parent
//	open*.go, fill.go, verify.go                       reading an image
//	newest.go, prune.go                                the images of a program
//	path_walk.go, path_changers.go, file.go,
//	writers.go, advice.go                              who can change a directory or file; hints for errors of the file system
package image

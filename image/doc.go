// Package image is crak's image format: a directory that holds one committed
// checkpoint of a group of processes.
//
// In a nutshell:
//
//	w, err := image.Create(dir, image.Options{Program: "app", Pid: 412})
//	defer w.Abort()                                   // nothing after a Commit
//	err = w.Put(image.ProcessSpace(412), runs, read)  // page contents, in parallel
//	path, err := w.Commit(manifest, group)            // all or nothing
//
//	img, err := image.Open(path)                      // checked but for page contents
//	defer img.Close()
//	err = img.Fill(ctx, image.ProcessSpace(412), 0, write)
//
// On disk (FORMAT.md says it all, for other programs too):
//
//	app.412/                  program directory
//	├── latest -> 2
//	├── 1/ …
//	├── 2/
//	│   ├── manifest.json     format, host, options, sizes and SHA-256 of the rest
//	│   ├── group.json        Group: everything but page contents
//	│   ├── pages.idx         frames: where each lies, what it holds, its CRC-32C
//	│   └── pages.bin         the frames' bytes
//	└── .3.partial/           being written, under flock; swept when its writer is gone
//
// Contents are kept by space (the memory of a process, a shared memory object, a
// file's content), in frames of up to 1 MiB. Both directions stream: neither Writer
// nor Image keeps anything whose size depends on the memory of the program.
//
// Locks: Writer.mu covers the end of pages.bin and the index together; Writer.failed
// is a leaf under it. A Fill has one lock, over its place in the index.
//
// The package does not say what a group needs to be restored: it checks that an image is
// whole and that its parts agree, no more.
package image

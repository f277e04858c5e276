// Package compile turns the processes of an image into restore programs.
//
// In a nutshell: Programs takes a Target (this machine, the numbers of kernel objects that already exist, what the user
// chose) and the processes with what each has for itself. It returns the programs: lists of system calls that the
// interpreter runs.
//
//	interpreter          makes the root process
//	pid 412 (the root)   session → staging area → its children → memory → descriptors → signals → threads → ready, go
//	pid 413 (a child)                             its children → memory → …
//	thread 414           its own state → IDs → arrive → await release → jump into the resident
//
// The package is pure: it makes no system call, and gives the same programs for the same input. The programs in
// testdata show this. It imports neither dump nor restore: it knows the image format and nothing of how the image was made.
package compile

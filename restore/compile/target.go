package compile

import (
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// A Target is what programs are compiled for: the group, this machine, the kernel objects that crak has made, and what the
// user chose.
type Target struct {
	Group   *image.Group
	Mode    Mode
	Control int // descriptor of the socket on which all processes report

	Memory       map[image.MemoryID]int      // descriptors of shared memory objects that are files
	ReadOnly     map[image.MemoryID]int      // the same files open for reading, if a shared mapping must never become writable
	Descriptions map[image.DescriptionID]int // descriptors of the open file descriptions, except those of batches

	// Batches are the descriptions that a process receives when it exists, in this order, one message a batch.
	Batches map[image.Pid][][]image.DescriptionID

	Kernel      []proc.Mapping    // the interpreter's vdso and vvar mappings
	Credentials image.Credentials // the interpreter's
	HardLimits  map[int]uint64    // the interpreter's, by resource
	TimerIDs    bool              // the kernel has PR_TIMER_CREATE_RESTORE_IDS
	Now         func(clock int32) (ns int64, ok bool)
}

// A Mode is the restore mode: how the processes of an image come back.
type Mode struct {
	Group         GroupChoice
	First         bool // the root is process 1 of a PID namespace, which the interpreter begins: it becomes the root
	Apart         bool // the root is the interpreter's child, not crak's; the interpreter exits before the program runs
	UserNamespace bool // crak is in a user namespace that has crak's own IDs alone
}

// A GroupChoice says which process group and session the root is in.
type GroupChoice int

const (
	InheritGroup GroupChoice = iota // crak's
	OwnGroup                        // it leads a process group in crak's session
	OwnSession                      // it leads a session, without a terminal
)

// A Process is a process of the image, and what belongs to this process alone on this machine.
type Process struct {
	*image.Process
	Exe    int          // descriptor of the file for /proc/PID/exe; -1: none
	Files  map[int]int  // descriptors of mapped files, by index of the mapping
	Filled map[int]bool // mappings for which the image has content, by index
	Pages  Pages        // for which the image has content

	Removed int // descriptor of the working directory if that was removed before the checkpoint; -1: it has the path Cwd
}

package image

import (
	"encoding/json"
)

// A DescriptionID numbers the open file descriptions of a group, from 1.
type DescriptionID int

// Descriptor is one entry of a process's descriptor table.
type Descriptor struct {
	Fd          int           `json:"fd"`
	CloseOnExec bool          `json:"close_on_exec,omitempty"`
	Description DescriptionID `json:"description"`
}

// Description is an open file description, which descriptors share after dup(2) and fork(2). The file of package fd for this kind
// writes and reads Record.
type Description struct {
	ID     DescriptionID   `json:"id"`
	Kind   string          `json:"kind"`
	Object ObjectID        `json:"object,omitempty"` // the object behind it: it is an end or a view of this object
	Flags  uint32          `json:"flags"`            // F_GETFL
	Offset int64           `json:"offset"`
	Owner  *Owner          `json:"owner,omitempty"`
	Locks  []Lock          `json:"locks,omitempty"`
	Record json.RawMessage `json:"record,omitempty"`
}

// Owner is the process, thread or process group that gets the I/O signals of a description (F_GETOWN_EX, F_GETSIG).
type Owner struct {
	Type   int `json:"type"`
	Pid    Pid `json:"pid"`
	Signal int `json:"signal"`

	// UID is the effective user ID of the process that set it. Its rights decide whether a signal is sent. Nil: not known.
	UID *uint32 `json:"uid,omitempty"`
}

// Lock is one file lock (a `lock:` line of /proc/PID/fdinfo). A POSIX lock belongs to Pid, the others to the description.
type Lock struct {
	Type  string `json:"type"` // "POSIX", "OFDLCK", "FLOCK", "LEASE"
	Write bool   `json:"write"`
	Pid   Pid    `json:"pid"`
	Start int64  `json:"start"`
	End   int64  `json:"end"` // inclusive; -1: to the end of the file, also if the file grows
}

package coord

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"crak.dev/crak/internal/proc"
)

// The variable CRAK_GROUP of a program's environment is the ID of its group. It is either a name that the user has chosen, or an ID
// that crak run has made for one run: "run:412:5f2a…". By the ID a checkpoint finds processes that do not descend from the root:
// programs that were started separately, and orphans.
const groupVariable = "CRAK_GROUP"

const (
	longestGroup = 64
	runPrefix    = "run:" // a name that a user chooses has no colon
)

// CheckGroup checks a name that a user has chosen for a group.
func CheckGroup(name string) error {
	if name == "" || len(name) > longestGroup {
		return fmt.Errorf("%q: the name of a group has 1 to %d characters", name, longestGroup)
	}
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.", c) >= 0 {
			continue
		}
		return fmt.Errorf("%q: the name of a group has only letters, digits, \"-\", \"_\" and \".\"", name)
	}
	return nil
}

// RunGroup returns the ID of the group of a program that crak run starts. It is the name that the user has chosen, or the name in
// crak's environment, or a new ID for this run.
func RunGroup(pid int, name string) (string, error) {
	if name == "" {
		name = os.Getenv(groupVariable)
	}
	if name == "" || isRun(name) {
		unique := make([]byte, 8)
		rand.Read(unique)
		name = fmt.Sprintf("%s%d:%s", runPrefix, pid, hex.EncodeToString(unique))
	} else if err := CheckGroup(name); err != nil {
		return "", err
	}
	return name, nil
}

// isRun tells whether an ID was made by crak run.
func isRun(id string) bool { return runOf(id) != 0 }

// runOf is the PID of the program for which crak run has made an ID, in that program's PID namespace. It is 0 for a name.
func runOf(id string) int {
	text, ok := strings.CutPrefix(id, runPrefix)
	number, unique, _ := strings.Cut(text, ":")
	pid, err := strconv.Atoi(number)
	if !ok || err != nil || pid <= 0 || len(id) > longestGroup || CheckGroup(unique) != nil {
		return 0
	}
	return pid
}

// validGroup is an ID that a program claims, or "" if it is none.
func validGroup(id string) string {
	if isRun(id) || CheckGroup(id) == nil {
		return id
	}
	return ""
}

// groupOf reads the ID of a group from a process's environment in /proc: "" if there is none, or if the environment cannot be read.
// The process can have written any ID there. preloads tells whether the process was started with libcrak.so. empty: there is no
// environment, as early in execve(2).
func groupOf(pid int) (id string, preloads, empty bool) {
	text, err := proc.ReadStart(proc.Path(pid, "environ"), longestEnvironment)
	for entry := range bytes.SplitSeq(text, []byte{0}) {
		name, value, _ := bytes.Cut(entry, []byte("="))
		switch string(name) {
		case groupVariable:
			id = validGroup(string(value[:min(len(value), longestGroup+1)]))
		case "LD_PRELOAD":
			preloads = bytes.Contains(value, []byte("libcrak"))
		}
	}
	return id, preloads, err == nil && len(text) == 0
}

// longestEnvironment bounds what is read of an environment, which a program may make as large as it likes.
const longestEnvironment = 4 << 20

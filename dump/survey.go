package dump

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"crak.dev/crak/fd"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// Known is what takes long to read, and is therefore read before the freeze.
type Known struct {
	Mappings []proc.SmapsEntry
	Policies []uint64 // starts of mappings that have a NUMA policy
	Holders  *fd.Holders
}

// Survey finds the obstacles in a process that is not frozen, and adds them to the table. It reads the same files as Read,
// but asks the process nothing. live is a live thread of the process. overrides are as in Member. The result is for
// Member.Known.
func Survey(pid, live int, overrides fd.Overrides, table *fd.Table) (Known, error) {
	m := &Member{Pid: pid, Live: live, Table: table}
	defer func() { table.Obstacles = append(table.Obstacles, m.obstacles...) }()
	// The files that everybody may read come first. They show a sandbox (seccomp), which could kill the program for the
	// system calls of a freeze.
	tids, err := proc.Tasks(pid)
	if err != nil {
		return Known{}, m.fail(err)
	}
	for _, tid := range tids {
		s, err := proc.Read(pid, fmt.Sprintf("task/%d/status", tid), proc.Status)
		if err == nil {
			m.refuseThread(tid, lostOf(&s))
			m.refuseNamespaces(tid)
		}
	}
	if err := m.root(); err != nil {
		return Known{}, m.fail(err)
	}
	m.refuseRoot()
	status, err := proc.Read(live, "status", proc.Status)
	if err != nil {
		return Known{}, m.fail(err)
	}
	holders := new(fd.Holders)
	member := &fd.Member{
		Pid:       pid,
		Live:      live,
		Inside:    int(inside(status.NSpid, pid)),
		Proc:      "/proc/" + strconv.Itoa(live),
		Overrides: overrides,
		Holders:   holders,
	}
	if _, err := fd.Capture(member, table); err != nil {
		return Known{}, m.fail(err)
	}
	if err := m.readMappings(); err != nil {
		return Known{}, m.fail(err)
	}
	if err := m.mappings(); err != nil {
		return Known{}, m.fail(err)
	}
	policies, err := proc.Read(live, "numa_maps", proc.NumaPolicies)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Known{}, m.fail(err)
	}
	stat, err := proc.Read(live, "stat", proc.Stat)
	if err != nil {
		return Known{}, m.fail(err)
	}
	m.refuseFlags(&stat)
	m.namespaces()
	m.mayHaveChildren = true
	return Known{m.entries, policies, holders}, m.children()
}

// refuseNamespaces refuses namespaces that a thread does not share with the rest of its process (setns(2), unshare(2)), and
// namespaces that only its children will be in. The twin would become process 1 of such a PID namespace, and when it ended,
// no process could be created there any more.
func (m *Member) refuseNamespaces(tid int) {
	link := func(tid int, kind string) string {
		text, _ := os.Readlink(proc.Path(m.Pid, fmt.Sprintf("task/%d/ns/%s", tid, kind)))
		return text
	}
	where := fmt.Sprintf("thread %d", tid)
	for _, kind := range []string{"uts", "ipc", "net", "mnt", "cgroup"} {
		own := link(tid, kind)
		if tid != m.Live && own != "" && own != link(m.Live, kind) {
			m.refuse(where, kind+" namespace of its own", "not supported", "")
		}
	}
	for _, kind := range []string{"pid", "time"} {
		children, own := link(tid, kind+"_for_children"), link(tid, kind)
		if own == "" || own == children {
			continue
		}
		// The link of a namespace without processes cannot be read. Of a thread that has ended, no link can be read.
		if children == "" && link(tid, "uts") == "" {
			continue
		}
		m.refuse(where, kind+" namespace for its children only", "not supported",
			"start the program in that namespace: unshare(1), then crak run")
	}
}

// namespaces refuses a UTS or IPC namespace that the program does not share with its parent: a restart does not make it again.
// A namespace that the program has inherited, it inherits from crak at the restart, too. (Mount, network and user namespaces
// are checked elsewhere.)
func (m *Member) namespaces() {
	stat, err := proc.Read(m.Live, "stat", proc.Stat)
	if err != nil || stat.PPid == 0 {
		return
	}
	for _, kind := range []string{"uts", "ipc"} {
		own, err := os.Readlink(m.path("ns/" + kind))
		if err != nil {
			continue
		}
		parents, err := os.Readlink(proc.Path(stat.PPid, "ns/"+kind))
		if err == nil && own != parents {
			m.refuse("", kind+" namespace of its own", "not supported", "start the program in that namespace: unshare(1), then crak run")
		}
	}
}

// children refuses the process's children, because a group has only one member so far. The twin and the reaper are CRAK's own;
// their exit signal is the freeze signal.
func (m *Member) children() error {
	if !m.mayHaveChildren {
		return nil
	}
	tids, err := proc.Tasks(m.Pid)
	if err != nil {
		return err
	}
	for _, tid := range tids {
		text, err := os.ReadFile(m.path(fmt.Sprintf("task/%d/children", tid)))
		if err != nil {
			continue // the thread has ended, or the kernel has no CONFIG_PROC_CHILDREN
		}
		for _, field := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(field)
			stat, err := proc.Read(child, "stat", proc.Stat)
			if err != nil || stat.ExitSignal == abi.FreezeSignal {
				continue
			}
			m.refuse("", fmt.Sprintf("child process %d (%s)", child, stat.Comm), "process trees are not supported yet",
				"checkpoint it while it has no children")
		}
	}
	return nil
}

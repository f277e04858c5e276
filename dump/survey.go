package dump

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// Known is state that takes long to read. So it is read before the freeze.
type Known struct {
	Mappings []proc.SmapsEntry
	maps     uint64   // checksum of /proc/PID/maps with these mappings; 0: not known
	Policies []uint64 // starts of mappings that have a NUMA policy
	Holders  *fd.Holders

	executable *executable
}

// Forget discards what Capture would use unchecked, so that it is read during the freeze.
func (k *Known) Forget() { k.Mappings, k.executable = nil, nil }

// Survey finds the obstacles in processes that are not frozen, and adds them to the group's table. It reads the same files as
// Capture, but sends no requests to the processes. It stores in Known what Capture needs. It returns an error for each member that
// cannot be read.
func Survey(members []*Member) []error {
	errs := make([]error, len(members))
	inParallel(len(members), func(i int) error {
		errs[i] = members[i].as(members[i].look)
		return nil
	})
	var looked []*Member
	for i, m := range members {
		if errs[i] == nil {
			looked = append(looked, m)
		}
	}
	captured := captureDescriptors(looked)
	all := newFiles()
	defer all.close()
	for i, m := range members {
		errs[i] = cmp.Or(errs[i], captured)
		if errs[i] == nil {
			m.files = all
			errs[i] = m.as(m.surveyMemory)
		}
		if errs[i] != nil {
			errs[i] = m.fail(errs[i])
		}
		m.Table.Obstacles = append(m.Table.Obstacles, m.obstacles...)
		m.obstacles = nil
	}
	return errs
}

// Descriptors are the descriptors that Survey has recorded.
func (m *Member) Descriptors() []image.Descriptor { return m.process.Descriptors }

// look looks at what /proc shows of a process that runs.
func (m *Member) look() error {
	// The files that everybody may read come first. They show a sandbox (seccomp), which could kill the program for the
	// system calls of a freeze.
	tids, err := proc.Tasks(m.Pid)
	if err != nil {
		return err
	}
	for _, tid := range tids {
		s, err := proc.Read(m.Pid, fmt.Sprintf("task/%d/status", tid), proc.Status)
		if err == nil {
			m.refuseThread(tid, lostOf(&s))
			m.refuseNamespaces(tid)
		}
	}
	if err := m.root(m.Live); err != nil {
		return err
	}
	m.obstacles = append(m.obstacles, m.otherRoot()...)
	status, err := proc.Read(m.Live, "status", proc.Status)
	if err != nil {
		return err
	}
	m.descriptors, err = fd.Look(&fd.Member{
		Pid:       m.Pid,
		Live:      m.Live,
		Inside:    int(inside(status.NSpid, m.Pid)),
		Proc:      "/proc/" + strconv.Itoa(m.Live),
		As:        m.As,
		Overrides: m.Overrides,
		WithFiles: m.WithFiles,
		Holders:   m.Known.Holders,
		Seen:      &m.Table.Seen,
	})
	return err
}

// surveyMemory looks at the mappings.
func (m *Member) surveyMemory() error {
	if err := inOrder(m.readMappings, func() error { return m.files.enter(m) }); err != nil {
		return err
	}
	if err := m.mappings(); err != nil {
		return err
	}
	policies, err := proc.Read(m.Live, "numa_maps", proc.NumaPolicies)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	stat, err := proc.Read(m.Live, "stat", proc.Stat)
	if err != nil {
		return err
	}
	m.Known.executable, _ = executableOf(m.Live) // nil: Read tries again
	m.refuseFlags(&stat)
	m.namespaces()
	m.Known.Mappings, m.Known.Policies = m.entries, policies
	m.Known.maps = m.sumOfMappings()
	return nil
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

// namespaces refuses a UTS or IPC namespace that the program does not share with its parent: a restart does not make it again. A
// namespace that the program had inherited is no problem: at the restart the program inherits crak's. (Mount and network namespaces
// are checked elsewhere.)
func (m *Member) namespaces() {
	stat, err := proc.Read(m.Live, "stat", proc.Stat)
	if err != nil || stat.PPid == 0 {
		return
	}
	for _, kind := range []string{"uts", "ipc"} {
		if m.hasOwnNamespace(kind, stat.PPid) {
			m.refuseNamespace(kind)
		}
	}
	status, err := proc.Read(m.Live, "status", proc.Status)
	if err == nil && (m.hasOwnNamespace("user", stat.PPid) || m.hasOwnNamespace("user", os.Getpid())) {
		m.refuseOtherUser(&status)
	}
}

// hasOwnNamespace tells whether the program is in another namespace than a process.
func (m *Member) hasOwnNamespace(kind string, pid int) bool {
	own, err := os.Readlink(m.path("ns/" + kind))
	theirs, theirErr := os.Readlink(proc.Path(pid, "ns/"+kind))
	return err == nil && theirErr == nil && own != theirs
}

func (m *Member) refuseNamespace(kind string) {
	m.refuse("", kind+" namespace of its own", "not supported", "start the program in that namespace: unshare(1), then crak run")
}

// refuseOtherUser refuses a user namespace that gives the program other IDs, or capabilities. In the namespaces that crak makes, for
// --net=private and for the old PIDs, a program has the same IDs and no more capabilities than outside.
func (m *Member) refuseOtherUser(status *proc.StatusInfo) {
	if status.CapPrm != 0 || m.mapsIDs("uid_map") || m.mapsIDs("gid_map") {
		m.refuseNamespace("user")
	}
}

// mapsIDs tells whether a user namespace has other IDs than the one outside of it (user_namespaces(7)). Without a map, every ID is the
// overflow ID there.
func (m *Member) mapsIDs(name string) bool {
	text, err := proc.ReadFile(m.path(name))
	same := len(strings.TrimSpace(string(text))) > 0
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) != 3 || f[0] != f[1] {
			same = false
		}
	}
	return err == nil && !same
}

package fd

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/restore/program"
)

// Namespace is the record of a file of /proc/PID/ns: a namespace in which the group is. A member opens that of the same name.
type Namespace struct {
	Name string `json:"name"` // "net", "pid_for_children"
}

// namespaceNames are the files in /proc/PID/ns. pid_for_children comes after pid, because most of the time both are the same namespace,
// and then a descriptor of it is recorded as pid. The same is true of time_for_children.
var namespaceNames = []string{"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"}

var namespace = kind{
	name: "namespace",
	is: func(o *open) bool {
		name, _, found := strings.Cut(o.link, ":[")
		return found && slices.Contains(namespaceNames, name) && o.format() == unix.S_IFREG
	},
	capture: captureNamespace,
	describe: func(d image.Description) string {
		r, _ := record[Namespace](d)
		return r.Name
	},
	check: func(d image.Description, _ *Env) obstacle.List {
		if _, err := namespaceOf(d); err != nil {
			return broken(err)
		}
		return nil
	},
	create: func(d image.Description, _ *Env) (*os.File, error) {
		if _, err := namespaceOf(d); err != nil {
			return nil, err
		}
		return placeholder()
	},
	byMember: func(image.Description) bool { return true },
	attach: func(d image.Description, a *Attach) error {
		r, err := namespaceOf(d)
		if err != nil {
			return err
		}
		path := "/proc/self/ns/" + r.Name
		a.Replace(d, a.Call(unix.SYS_OPEN, a.Set.String(path), program.Const(unix.O_RDONLY|unix.O_CLOEXEC|d.Flags&unix.O_PATH), program.Const(0)).Note(path).Keep().Arg())
		return nil
	},
}

func namespaceOf(d image.Description) (Namespace, error) {
	r, err := record[Namespace](d)
	if err == nil && !slices.Contains(namespaceNames, r.Name) {
		err = fmt.Errorf("description %d: %.40q: no namespace", d.ID, r.Name)
	}
	return r, err
}

func captureNamespace(_ *capture, o *open) (any, error) {
	kind, _, _ := strings.Cut(o.link, ":[")
	for _, name := range namespaceNames {
		var st unix.Stat_t
		if strings.HasPrefix(name, kind) && unix.Stat(o.proc()+"/ns/"+name, &st) == nil && st.Ino == o.stat.Ino && st.Dev == o.stat.Dev {
			return &Namespace{name}, nil
		}
	}
	return nil, obstacle.Obstacle{What: o.link, Why: "a namespace in which the program is not", Do: closeIt}
}

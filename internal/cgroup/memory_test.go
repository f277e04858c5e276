package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// group writes the files of a group.
func group(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRoom(t *testing.T) {
	for name, test := range map[string]struct {
		fs    string
		files map[string]string
		want  uint64
	}{
		"limit":     {"cgroup2", map[string]string{"memory.max": "1000\n", "memory.current": "300\n"}, 700},
		"cache":     {"cgroup2", map[string]string{"memory.max": "1000\n", "memory.current": "900\n", "memory.stat": "anon 5\ninactive_file 40\nactive_file 2\n"}, 142},
		"no limit":  {"cgroup2", map[string]string{"memory.max": "max\n", "memory.current": "900\n"}, Unlimited},
		"above":     {"cgroup2", map[string]string{"memory.max": "1000\n", "memory.current": "1200\n"}, 0},
		"root":      {"cgroup2", nil, Unlimited},
		"v1":        {"cgroup", map[string]string{"memory.limit_in_bytes": "1000\n", "memory.usage_in_bytes": "300\n", "memory.stat": "inactive_file 9\ntotal_inactive_file 10\n"}, 710},
		"v1, none":  {"cgroup", map[string]string{"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "300\n"}, Unlimited},
		"malformed": {"cgroup2", map[string]string{"memory.max": "many\n", "memory.current": "900\n"}, Unlimited},
	} {
		dir := t.TempDir()
		group(t, dir, test.files)
		if got := versions[test.fs].room(dir); got != test.want {
			t.Errorf("%s: room %d, want %d", name, got, test.want)
		}
	}
}

func TestGroupOf(t *testing.T) {
	const text = "9:name=systemd:/\n4:cpu,memory:/a:b/c\n0::/x\n"
	for controller, want := range map[string]string{"": "/x", "memory": "/a:b/c", "pids": ""} {
		if got, ok := groupOf(text, controller); got != want || ok != (want != "") {
			t.Errorf("group of %q: %q, %v", controller, got, ok)
		}
	}
	for _, test := range []struct {
		group, root, want string
		ok                bool
	}{{"/a/b", "/", "/a/b", true}, {"/a/b", "/a", "/b", true}, {"/a", "/a", "", true}, {"/ab", "/a", "b", false}} {
		if got, ok := within(test.group, test.root); ok != test.ok || ok && got != test.want {
			t.Errorf("%v: %q, %v", test, got, ok)
		}
	}
}

// TestOwnGroup makes a control group on this machine, sets a limit, and checks that room finds it.
func TestOwnGroup(t *testing.T) {
	for fs, top := range map[string]string{"cgroup": "/sys/fs/cgroup/memory", "cgroup2": "/sys/fs/cgroup"} {
		v := versions[fs]
		dir := filepath.Join(top, fmt.Sprintf("crak-test-%d", os.Getpid()))
		if _, err := os.Stat(filepath.Join(top, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o700) != nil {
			continue
		}
		defer os.Remove(dir)
		if err := os.WriteFile(filepath.Join(dir, v.limit), []byte("104857600"), 0o600); err != nil {
			continue // this hierarchy does not have the memory controller
		}
		if got := v.room(dir); got < 100<<20-1<<20 || got > 100<<20 {
			t.Errorf("%s: room %d of an empty group with a limit of 100 MiB", fs, got)
		}
		return
	}
	t.Skip("needs root, and permission to make a control group")
}

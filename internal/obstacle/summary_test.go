package obstacle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// descriptors are obstacles that differ in their descriptors only.
func descriptors(o Obstacle, numbers ...int) (l List) {
	for _, n := range numbers {
		o.Where = fmt.Sprintf("fd %d", n)
		l = append(l, o)
	}
	return l
}

func TestError(t *testing.T) {
	eventfd := Obstacle{Pid: 12, What: "eventfd", Why: "not supported", Do: "close it"}
	epoll := Obstacle{Pid: 12, What: "epoll instance", Why: "not supported", Do: "close it"}
	pipe := func(n int) Obstacle {
		return Obstacle{Pid: 12, Where: fmt.Sprintf("fd %d", n), What: "read end of a pipe", Detail: fmt.Sprintf("pipe:[%d]", 100+n),
			Why: "inherited", Do: "start it without", Option: fmt.Sprintf("--fd %d=close", n)}
	}
	var many List
	for n := range 12 {
		many = append(many, Obstacle{Pid: 5, Where: fmt.Sprintf("mapping %x000-%x000", n, n+1), What: "guard pages", Why: "not supported"})
	}
	for _, c := range []struct {
		name string
		list List
		want []string
	}{
		{"one", List{{What: "thing", Why: "too old"}}, []string{"thing: too old"}},
		{"of a process", List{{Pid: 6, What: "thing", Why: "too old", Do: "wait"}}, []string{"pid 6: thing: too old; wait"}},
		{"of no process", List{{Where: "description 6", What: "thing", Why: "too old"}}, []string{"description 6: thing: too old"}},
		{"one kind", descriptors(eventfd, 3, 4, 7, 8, 9, 19), []string{"pid 12 fd 3, 4, 7-9, 19: eventfd: not supported; close it"}},
		{"two processes", List{{Pid: 1, What: "a", Why: "b"}, {Pid: 2, What: "a", Why: "b"}}, []string{"pid 1: a: b", "pid 2: a: b"}},
		{"two kinds of place", List{{Where: "fd 6", What: "a", Why: "b"}, {Where: "thread 6", What: "a", Why: "b"}, {Where: "root directory", What: "a", Why: "b"}},
			[]string{"fd 6, thread 6, root directory: a: b"}},
		{"a hint for two kinds", append(append(descriptors(eventfd, 3), Obstacle{Pid: 12, What: "x", Why: "y"}), descriptors(epoll, 4)...), []string{
			"pid 12 fd 3: eventfd: not supported",
			"pid 12 fd 4: epoll instance: not supported",
			"for each of these: close it",
			"pid 12: x: y",
		}},
		{"options", List{pipe(9), pipe(11)}, []string{
			"pid 12 fd 9, 11: read end of a pipe (pipe:[109], pipe:[111]): inherited; " +
				"make the image without it: crak checkpoint --fd 9=close --fd 11=close 12; or start it without",
		}},
		{"many", many, []string{"pid 5 mapping 0000-1000, mapping 1000-2000, mapping 2000-3000, mapping 3000-4000, mapping 4000-5000, " +
			"mapping 5000-6000, mapping 6000-7000, mapping 7000-8000, mapping 8000-9000, mapping 9000-a000, and 2 more: guard pages: not supported"}},
	} {
		if diff := cmp.Diff(c.want, strings.Split(c.list.Error(), "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

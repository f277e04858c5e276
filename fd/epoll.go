package fd

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/kcmp"
	"crak.dev/crak/internal/obstacle"
)

// Epoll is the record of an epoll instance (epoll(7)).
type Epoll struct {
	Targets []EpollTarget `json:"targets,omitempty"` // in the order of fdinfo

	// Quiet tells that epoll_wait(2) would have returned nothing. So every edge of an edge-triggered target had been reported.
	Quiet bool `json:"quiet,omitempty"`

	BusyPoll *BusyPoll `json:"busy_poll,omitempty"`
}

// BusyPoll is struct epoll_params: how epoll_wait(2) asks network devices for packets (since Linux 6.9).
type BusyPoll struct {
	Usecs  uint32 `json:"usecs"`
	Budget uint16 `json:"budget"`
	Prefer bool   `json:"prefer,omitempty"`
}

// EpollTarget is one registration of epoll_ctl(2). The kernel knows it by its descriptor number and its description.
type EpollTarget struct {
	Fd          int                 `json:"fd"` // when it was registered; by now it can be closed, or be something else
	Description image.DescriptionID `json:"description"`
	Events      uint32              `json:"events"`
	Data        uint64              `json:"data"`

	// Spent tells that EPOLLONESHOT has been reported, and that the description is ready. epoll_ctl cannot register a target
	// for no events at all, so the restart has it reported once more.
	Spent bool `json:"spent,omitempty"`
}

// wanted are the events that a program can ask for. A target with EPOLLONESHOT has none of them after it was reported.
const wanted = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDNORM | unix.EPOLLRDBAND | unix.EPOLLWRNORM | unix.EPOLLWRBAND |
	unix.EPOLLMSG | unix.EPOLLRDHUP | unix.EPOLLERR | unix.EPOLLHUP

// epollTargetsMost bounds the targets of one instance: numbers above it need a limit that only root sets (fs.nr_open).
const epollTargetsMost = 1 << 20

var epoll kind

// init fills in the kind, because its functions refer to it through the table of kinds.
func init() {
	epoll = kind{
		name:    "epoll",
		is:      func(o *open) bool { return o.link == "anon_inode:[eventpoll]" },
		capture: captureEpoll,
		describe: func(d image.Description) string {
			r, _ := record[Epoll](d)
			return fmt.Sprintf("epoll instance, %d targets", len(r.Targets))
		},
		check: func(d image.Description, _ *Env) obstacle.List {
			if _, err := epollRecord(d); err != nil {
				return broken(err)
			}
			return nil
		},
		create: func(d image.Description, env *Env) (*os.File, error) {
			r, err := epollRecord(d)
			if err != nil {
				return nil, err
			}
			fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			if err != nil {
				return nil, os.NewSyscallError("epoll_create1", err)
			}
			if r.BusyPoll != nil {
				r.BusyPoll.set(fd, env)
			}
			return os.NewFile(uintptr(fd), "epoll instance"), nil
		},
		attach: attachEpoll,
		refers: func(d image.Description) (all References) {
			r, _ := epollRecord(d)
			for _, t := range r.Targets {
				all.Descriptions = append(all.Descriptions, t.Description)
				all.Numbers = append(all.Numbers, t.Fd)
			}
			return all
		},
		forget: func(d *image.Description, gone func(image.DescriptionID) bool) error {
			r, err := epollRecord(*d)
			if err == nil {
				r.Targets = slices.DeleteFunc(r.Targets, func(t EpollTarget) bool { return gone(t.Description) })
				d.Record, err = image.MarshalText(&r)
			}
			return err
		},
	}
}

func epollRecord(d image.Description) (Epoll, error) {
	r, err := record[Epoll](d)
	if err == nil && len(r.Targets) > epollTargetsMost {
		err = fmt.Errorf("description %d: %d targets", d.ID, len(r.Targets))
	}
	for _, t := range r.Targets {
		if err == nil && (t.Fd < 0 || t.Fd >= epollTargetsMost || t.Description == d.ID) {
			err = fmt.Errorf("description %d: a target with the number %d", d.ID, t.Fd)
		}
	}
	if err != nil {
		return Epoll{}, err
	}
	return r, nil
}

func captureEpoll(c *capture, o *open) (any, error) {
	info, err := o.fdinfo()
	if err != nil {
		return nil, err
	}
	r := &Epoll{}
	var targets []*open
	same := make(map[int]int) // how many targets were registered under a number
	for _, line := range info {
		if line.Key != "tfd" {
			continue
		}
		t, inode, err := epollTarget(line.Value)
		if err != nil {
			return nil, err
		}
		target := c.findTarget(o, t.Fd, same[t.Fd], inode)
		same[t.Fd]++
		if target == nil {
			return nil, elsewhere{obstacle.Obstacle{What: "epoll instance", Why: fmt.Sprintf("it watches a file that it knows as fd %d, which no process of the group has open now", t.Fd),
				Do: closeIt, Option: leaveOut(o.fd)}}
		}
		if t.Events&unix.EPOLLONESHOT != 0 && t.Events&wanted == 0 {
			t.Spent = o.handle.asks() && target.isReady()
		}
		targets = append(targets, target)
		r.Targets = append(r.Targets, t)
	}
	c.later = append(c.later, func() error {
		for i, target := range targets {
			r.Targets[i].Description = c.ids[target]
			if target.override != "" {
				r.Targets[i].Description = 0
			}
		}
		r.Targets = slices.DeleteFunc(r.Targets, func(t EpollTarget) bool { return t.Description == 0 })
		return nil
	})
	c.questions.ioctl(o, epiocgparams, busyPollSize, func(result int64, params []byte) {
		if result >= 0 {
			r.BusyPoll = busyPoll(params)
		}
	})
	c.readAfterAll(o, func() error { // a target may become ready meanwhile: a datagram comes from outside
		if o.handle.asks() {
			events, err := eventsOf(o.handle.fd, unix.POLLIN)
			r.Quiet = err == nil && events == 0 && !c.chosen
		}
		return nil
	})
	return r, c.private(o, "epoll instance")
}

// epollTarget parses what follows "tfd:" in fdinfo (proc_pid_fdinfo(5)): "5 events: 19 data: 7f pos:0 ino:62d8 sdev:d".
func epollTarget(line string) (t EpollTarget, inode uint64, err error) {
	words := strings.Fields(strings.ReplaceAll("tfd:"+line, ":", " "))
	values := make(map[string]string)
	for i := 0; i+1 < len(words); i += 2 {
		values[words[i]] = words[i+1]
	}
	t.Fd, err = strconv.Atoi(values["tfd"])
	events, err2 := strconv.ParseUint(values["events"], 16, 32)
	data, err3 := strconv.ParseUint(values["data"], 16, 64)
	inode, err4 := strconv.ParseUint(values["ino"], 16, 64)
	for _, e := range []error{err, err2, err3, err4} {
		if e != nil {
			return t, 0, fmt.Errorf("fdinfo of an epoll instance: %q: %w", line, e)
		}
	}
	t.Events, t.Data = uint32(events), data
	return t, inode, nil
}

// findTarget finds the description that an epoll instance has registered under a number; nth tells which of several. Most programs
// still have it under that number.
func (c *capture) findTarget(o *open, number, nth int, inode uint64) *open {
	for _, h := range o.holders {
		for _, s := range h.of.all {
			if s.fd == number && s.of.stat.Ino == inode && isTarget(s.of, o, number, nth) {
				return s.of
			}
		}
	}
	for _, d := range c.members {
		for _, s := range d.all {
			if s.of.stat.Ino == inode && isTarget(s.of, o, number, nth) {
				return s.of
			}
		}
	}
	for _, t := range c.inside {
		if t.stat.Ino == inode && isTarget(t, o, number, nth) {
			return t
		}
	}
	return nil
}

// isTarget compares a description with a target of an epoll instance.
func isTarget(t, instance *open, number, nth int) bool {
	order, err := comparing(func() (int, error) {
		return kcmp.EpollTarget(t.member.live(), t.fd, instance.member.live(), kcmp.Target{Instance: uint32(instance.fd), Number: uint32(number), Nth: uint32(nth)})
	})
	return err == nil && order == 0
}

// isReady tells whether poll(2) would report anything. Timers and signals are not looked at: they come back later than the targets
// are registered.
func (o *open) isReady() bool {
	if timerfd.is(o) || signalfd.is(o) || epoll.is(o) {
		return false
	}
	h, err := o.source()()
	if err != nil {
		return false
	}
	defer h.Close()
	if !h.asks() {
		return false
	}
	events, err := eventsOf(h.fd, unix.POLLIN|unix.POLLOUT)
	return err == nil && events != 0
}

// clearQuiet has an epoll instance report what it finds at the restart.
func clearQuiet(d *image.Description) error {
	if d.Kind != epoll.name {
		return nil
	}
	r, err := epollRecord(*d)
	if err == nil {
		r.Quiet = false
		d.Record, err = image.MarshalText(&r)
	}
	return err
}

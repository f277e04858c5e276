package fd

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Inotify is the record of an inotify instance (inotify(7)).
type Inotify struct {
	Watches []InotifyWatch `json:"watches,omitempty"` // in the order of their numbers
}

// InotifyWatch is one watch. If the watched file has no name, the watch is made through a description of the group.
type InotifyWatch struct {
	Number      int32               `json:"number"`
	Mask        uint32              `json:"mask"`
	File        *image.File         `json:"file,omitempty"`
	Description image.DescriptionID `json:"description,omitempty"`
}

// inotifyMost bounds the numbers of watches. The kernel gives the numbers out one after the other, so a restart makes and removes a
// watch for each number that is not used any more.
const inotifyMost = 1 << 20

// inotifyMask has the bits of a mask that the kernel keeps.
const inotifyMask = unix.IN_ALL_EVENTS | unix.IN_EXCL_UNLINK | unix.IN_ONESHOT

var inotify kind

// init fills in the kind, because its functions refer to it through the table of kinds.
func init() {
	inotify = kind{
		name:    "inotify",
		is:      func(o *open) bool { return strings.HasPrefix(o.link, "anon_inode:inotify") },
		capture: captureInotify,
		describe: func(d image.Description) string {
			r, _ := record[Inotify](d)
			return fmt.Sprintf("inotify instance, %d watches", len(r.Watches))
		},
		check: func(d image.Description, env *Env) (all obstacle.List) {
			r, err := inotifyRecord(d)
			if err != nil {
				return broken(err)
			}
			for _, w := range r.Watches {
				if w.File != nil {
					all = append(all, env.decideWatched(CompareFile(*w.File), d.ID)...)
				}
			}
			return all
		},
		create: func(d image.Description, _ *Env) (*os.File, error) {
			if _, err := inotifyRecord(d); err != nil {
				return nil, err
			}
			n, err := unix.InotifyInit1(unix.IN_CLOEXEC)
			if err != nil {
				return nil, os.NewSyscallError("inotify_init1", err)
			}
			return os.NewFile(uintptr(n), "inotify instance"), nil
		},
		connect: func(d image.Description, env *Env) error {
			r, err := inotifyRecord(d)
			if err != nil || len(r.Watches) == 0 {
				return err
			}
			made := make(map[image.DescriptionID]*os.File)
			for _, w := range r.Watches {
				if w.Description != 0 {
					if made[w.Description], err = env.description(w.Description); err != nil {
						return err
					}
				}
			}
			f, err := env.description(d.ID)
			if err == nil {
				env.last = append(env.last, func() error { return r.watch(int(f.Fd()), d.ID, made, env) })
			}
			return err
		},
		refers: func(d image.Description) (all References) {
			r, _ := inotifyRecord(d)
			for _, w := range r.Watches {
				if w.Description != 0 {
					all.Descriptions = append(all.Descriptions, w.Description)
				}
			}
			return all
		},
		paths: pathsIn(func(r *Inotify, to Relocations) {
			for _, w := range r.Watches {
				if w.File != nil {
					to.file(w.File)
				}
			}
		}),
	}
}

func inotifyRecord(d image.Description) (Inotify, error) {
	r, err := record[Inotify](d)
	last := int32(0)
	for _, w := range r.Watches {
		if err == nil && (w.Number <= last || w.Number > inotifyMost || w.Mask == 0 || w.Mask&^inotifyMask != 0 ||
			(w.File == nil) == (w.Description == 0) || w.Description == d.ID) {
			err = fmt.Errorf("description %d: inotify: watch %d after %d, mask %#x", d.ID, w.Number, last, w.Mask)
		}
		last = w.Number
	}
	if err != nil {
		return Inotify{}, err
	}
	return r, nil
}

// decideWatched applies the policy to a watched file. Its content does not matter.
func (e *Env) decideWatched(c Comparison, id image.DescriptionID) obstacle.List {
	if c.Change == Gone || c.Have.Mode&unix.S_IFMT != c.Want.Mode&unix.S_IFMT {
		return obstacle.List{{What: "inotify instance", Detail: c.Want.Path, Why: "it watched this file, which " + c.String(), Do: "put the old file back"}}
	}
	if list := e.lessers[id].gain(c, unix.R_OK); len(list) > 0 {
		return list
	}
	if c.Have.Inode != c.Want.Inode && !c.Want.Relocated {
		e.Tell(c.Want.Path + ": another file is at this path now; inotify watches that file")
	}
	return nil
}

func captureInotify(c *capture, o *open) (any, error) {
	info, err := o.fdinfo()
	if err != nil {
		return nil, err
	}
	refused := obstacle.Obstacle{What: "inotify instance", Do: closeIt}
	r := &Inotify{}
	var all []*watched
	for _, line := range info {
		if line.Key != "inotify" {
			continue
		}
		w, err := parseWatch(line.Value)
		if err != nil {
			return nil, err
		}
		if w.number > inotifyMost {
			refused.Why = fmt.Sprintf("the number of one of its watches is more than %d", inotifyMost)
			return nil, refused
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *watched) int { return int(a.number - b.number) })
	c.findWatched(o, all)
	for i, w := range all {
		one := InotifyWatch{Number: w.number, Mask: w.mask & inotifyMask, File: w.file}
		switch {
		case w.through != nil:
			c.later = append(c.later, func() error {
				r.Watches[i].Description = c.ids[w.through]
				return nil
			})
		case w.file == nil:
			refused.Why = fmt.Sprintf("watch %d is of a file whose path CRAK has not found (inode %d)", w.number, w.inode)
			refused.Do = "start the program with the path as an argument, or let it keep the file or the file's directory open; or " + closeIt
			return nil, refused
		}
		r.Watches = append(r.Watches, one)
	}
	var queued uint32
	c.questions.ioctl(o, unix.TIOCINQ, 4, func(result int64, data []byte) { queued = binary.NativeEndian.Uint32(data) })
	c.later = append(c.later, func() error {
		if queued == 0 {
			return nil
		}
		refused.Why = "it has events that the program has not read yet, and CRAK cannot copy them"
		refused.Do, refused.Passes = "try again when the program has read them, or "+closeIt, true
		delete(c.ids, o)
		return c.refuse(o, refused)
	})
	return r, c.private(o, "inotify instance")
}

// parseWatch parses what follows "inotify" in fdinfo (proc_pid_fdinfo(5)):
// "wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d".
func parseWatch(line string) (*watched, error) {
	values := make(map[string]string)
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, ":")
		values[key] = value
	}
	number, err1 := strconv.ParseInt(values["wd"], 16, 32)
	inode, err2 := strconv.ParseUint(values["ino"], 16, 64)
	device, err3 := strconv.ParseUint(values["sdev"], 16, 32)
	mask, err4 := strconv.ParseUint(values["mask"], 16, 32)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return nil, fmt.Errorf("fdinfo of an inotify instance: %q: %w", line, err)
		}
	}
	return &watched{number: int32(number), mask: uint32(mask), inode: inode, device: unix.Mkdev(uint32(device>>20), uint32(device&(1<<20-1)))}, nil
}

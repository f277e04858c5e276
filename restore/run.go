package restore

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/signals"
	"crak.dev/crak/restore/compile"
)

// Run restarts an image. It returns the program's wait status when the program has ended, or returns as soon as the program runs
// if Detach is set. On an error no process of the program is left.
func Run(ctx context.Context, o Options) (status unix.WaitStatus, err error) {
	img, err := open(o.Image)
	if err != nil {
		return 0, err
	}
	defer img.Close()
	if err := o.Changes.Apply(img.Group); err != nil {
		return 0, err
	}
	o.Notice = once(o.Notice) // in a new namespace everything is checked a second time
	private, err := enterPrivate(img.Group, img.Path)
	if err != nil {
		return 0, err
	}
	if private {
		defer func() { leavePrivate(img.Group, err) }()
	}
	env := o.env()
	env.Elsewhere = img.Group.PrivateNetwork && !private
	obstacles, err := Check(img, env)
	if err != nil {
		return 0, err
	}
	fresh := o.Pids == PidsFresh
	if env.Elsewhere {
		if o.Pids == PidsKeep {
			return 0, obstacle.Obstacle{What: "network namespace of its own", Why: "to make one takes CAP_SYS_ADMIN, or a user namespace", Do: "restart it without --pids=keep, or as root"}
		}
		fresh = true
	}
	switch o.Pids {
	case PidsKeep:
		obstacles = append(obstacles, checkKeep(img.Group)...)
	case PidsAuto:
		if why, _ := whyNotKeep(img.Group); why != "" {
			fresh = true
			o.Notice(why + ": restarting in a new PID namespace")
		}
	}
	if !fresh {
		obstacles = append(obstacles, checkSysV(img.Group)...)
	}
	if err := obstacles.Err(); err != nil {
		return 0, err
	}
	o.Image = img.Path
	ctx, stop := signal.NotifyContext(ctx, signals.NotIgnored(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)...)
	defer stop()
	f := newForeground(env.Terminal, o.Detach)
	defer f.end()
	choice := f.choice(img.Group)
	if !fresh {
		status, err := here(ctx, img, env, &o, f, choice)
		var pid takenError
		var terminal fd.PtyTakenError
		if o.Pids == PidsKeep || !errors.As(err, &pid) && !errors.As(err, &terminal) {
			return status, err
		}
		o.Notice(err.Error() + ": restarting in a new PID namespace")
	}
	return inNamespace(ctx, img, &o, f, choice, private)
}

// once returns a notice function that drops repeated texts. Several goroutines may call it.
func once(notice func(string)) func(string) {
	said := make(map[string]bool)
	var mu sync.Mutex
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if !said[text] {
			said[text] = true
			notice(text)
		}
	}
}

// wantsDeathSignal tells whether a thread of the root has a parent-death signal (PR_SET_PDEATHSIG).
func wantsDeathSignal(g *image.Group) bool {
	return slices.ContainsFunc(rootOf(g).Threads, func(t image.Thread) bool { return t.Parked.DeathSignal != 0 })
}

// here restarts an image in this PID namespace.
func here(ctx context.Context, img *image.Image, env *fd.Env, o *Options, f *foreground, choice compile.GroupChoice) (unix.WaitStatus, error) {
	pid := int(img.Group.Root)
	adopt := func(root, front *member) error {
		pidfd, err := unix.PidfdOpen(root.seen, 0)
		if err != nil {
			return fmt.Errorf("pid %d: pidfd_open: %w", pid, err)
		}
		f.adopt(root.seen, pidfd, front.seen)
		return nil
	}
	g := &group{img: img, env: env, adopt: adopt, progress: o.Progress,
		mode: compile.Mode{Group: choice, Apart: o.Detach && wantsDeathSignal(img.Group)}}
	if err := g.start(ctx); err != nil {
		return 0, err
	}
	fd.EndKeeper()
	f.running()
	o.Started(pid)
	if o.Detach {
		return 0, nil
	}
	return f.follow(waitFor(pid))
}

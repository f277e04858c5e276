package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/restore/compile"
)

// Inner restarts an image in a new PID namespace, waits until the root has ended, and returns the root's exit status. Its process is
// process 1 of the namespace, unless the program was process 1 itself. When process 1 exits, the kernel kills all other processes of
// the namespace.
func Inner(progress Progress) int {
	w := &wire{socket: os.NewFile(innerFd, "namespace socket")}
	signal.Ignore(passedOn()...) // the first crak passes them on to the program
	status, err := innerRestart(w, progress)
	if err != nil {
		m := innerMessage{Failed: err.Error()}
		var list obstacle.List
		if errors.As(err, &list) {
			m = innerMessage{Obstacles: list}
		}
		w.send(m)
		return 1
	}
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func innerRestart(w *wire, progress Progress) (status unix.WaitStatus, err error) {
	if err := fd.FindKeeper(); err != nil {
		return 0, err
	}
	m, _, err := w.receiveBy(unix.MSG_PEEK)
	if err != nil {
		return 0, err
	}
	if m.Request == nil {
		return 0, errors.New("namespace socket: no request")
	}
	if !m.Request.First {
		if err := beginNamespace(); err != nil {
			return 0, err
		}
	}
	directory, err := unix.FcntlInt(imageFd, unix.F_DUPFD_CLOEXEC, imageFd+1)
	if err != nil {
		return 0, fmt.Errorf("image's directory: %w", err)
	}
	img, err := image.OpenHandle(os.NewFile(uintptr(directory), m.Request.Image), m.Request.Image)
	if err != nil {
		return 0, err
	}
	defer img.Close()
	if err := m.Request.Changes.Apply(img.Group); err != nil {
		return 0, err
	}
	if !m.Request.PrivateNetwork && os.Getenv(settledVariable) == "" {
		if _, err := enterPrivate(img.Group, img.Path); err != nil {
			return 0, err
		}
		defer func() { leavePrivate(img.Group, err) }()
	}
	if !m.Request.First {
		if err := settle(numbers(img.Group)); err != nil {
			return 0, err
		}
	}
	if path := takenTerminal(img.Group); path != "" && !m.Request.First {
		if err := mountTerminals(filepath.Dir(path)); err != nil {
			return 0, err
		}
	}
	unix.Close(imageFd)
	if _, _, err := w.receive(); err != nil { // removes the request from the socket
		return 0, err
	}
	return innerRun(w, img, m.Request, progress)
}

// beginNamespace is the first thing that process 1 does.
func beginNamespace() error {
	if os.Getpid() != 1 {
		return errors.New("not process 1 of a PID namespace")
	}
	if os.Getenv(settledVariable) != "" {
		return nil
	}
	return mountProc()
}

func innerRun(w *wire, img *image.Image, r *innerRequest, progress Progress) (unix.WaitStatus, error) {
	o := Options{Image: img.Path, Detach: r.Detach, Files: r.Files, Force: r.Force,
		Notice: func(text string) { w.send(innerMessage{Notice: text}) }}
	var free atomic.Bool // the program does not end with the first crak
	var program atomic.Int32
	go w.endWith(&free, &program)
	adopt := func(root, front *member) error {
		program.Store(int32(root.seen))
		if err := w.sendPidfds(innerMessage{Exists: true}, root.seen, front.seen); err != nil {
			return err
		}
		m, _, err := w.receive()
		if err == nil && !m.Go {
			err = errors.New("namespace socket: no go")
		}
		return err
	}
	start := func() (*fd.Env, error) {
		g := &group{img: img, env: o.env(), adopt: adopt, progress: progress,
			mode: compile.Mode{Group: r.GroupChoice, First: r.First, UserNamespace: r.UserNamespace}}
		return g.env, g.start(context.Background())
	}
	env, err := start()
	var taken fd.PtyTakenError
	if errors.As(err, &taken) && !r.First { // another program has taken the number since crak has looked
		if err := mountTerminals(filepath.Dir(taken.Path)); err != nil {
			return 0, err
		}
		env, err = start()
	}
	if err != nil {
		return 0, err
	}
	fd.EndKeeper()
	img.Close()
	if env.Terminal != nil {
		env.Terminal.Close()
	}
	free.Store(r.Detach)
	if err := w.send(innerMessage{Runs: true}); err != nil {
		return 0, err
	}
	LeaveStandard()
	unix.Dup3(1, 2, 0)
	if r.Detach {
		go passOn(int(program.Load()))
	}
	return reap(w, int(program.Load()), &free), nil
}

// passOn passes signals on to the root, as process 1 of a container does. Without --detach the first crak does that.
func passOn(root int) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn()...)
	for s := range signals {
		unix.Kill(root, s.(unix.Signal))
	}
}

// reap waits for all children, also for orphans of the program, until the root has ended. It reports the state changes of the root.
func reap(w *wire, root int, free *atomic.Bool) unix.WaitStatus {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WUNTRACED|unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0 // ECHILD: no process is left
		case pid == root:
			ended := status.Exited() || status.Signaled()
			if ended {
				free.Store(true)
			}
			w.send(innerMessage{Changed: &status}) // fails if the first crak has ended, which does not matter
			if ended {
				return status
			}
		}
	}
}

// endWith kills the program and exits when the first crak has ended, unless free is set. Neither a restart nor a program in the
// foreground may go on without the crak that the user started.
func (w *wire) endWith(free *atomic.Bool, program *atomic.Int32) {
	gone := []unix.PollFd{{Fd: int32(w.socket.Fd()), Events: unix.POLLRDHUP}}
	for {
		if n, err := unix.Poll(gone, -1); n > 0 || err != unix.EINTR {
			break
		}
	}
	if !free.Load() {
		if pid := program.Load(); pid != 0 {
			unix.Kill(int(pid), unix.SIGKILL)
		}
		os.Exit(1)
	}
}

// mountProc mounts /proc of this PID namespace.
func mountProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount /, private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", compile.ProcFlags, ""); err != nil {
		return obstacle.List{{What: "new PID namespace", Why: fmt.Sprintf("mount /proc: %v", err),
			Do: "in a container whose /proc is masked, restart it as root, or let the container see all of /proc"}}
	}
	return nil
}

const (
	lastPid         = "/proc/sys/kernel/ns_last_pid"
	settledVariable = "CRAK_SETTLED"
)

// settle makes sure that neither crak nor its children have a PID or TID that the program needs. It sets ns_last_pid, so that the
// kernel gives out numbers above the program's. If a thread of crak has a number that the program needs, crak executes itself
// again: that ends all threads but the first.
func settle(needed []number) error {
	if why := beyondMost(needed); why != "" {
		return errors.New(why + " in the new PID namespace, too")
	}
	highest := needed[len(needed)-1].pid
	if err := os.WriteFile(lastPid, []byte(strconv.Itoa(highest)), 0); err != nil && os.Getenv(settledVariable) == "" {
		return fmt.Errorf("%s: %w", lastPid, err)
	}
	for _, n := range needed {
		if unix.Kill(n.pid, 0) == unix.ESRCH && unix.Kill(-n.pid, 0) == unix.ESRCH {
			continue
		}
		if os.Getenv(settledVariable) != "" {
			return fmt.Errorf("%v is taken in the new PID namespace", n)
		}
		for _, number := range []uintptr{innerFd, imageFd} {
			if _, err := unix.FcntlInt(number, unix.F_SETFD, 0); err != nil {
				return err
			}
		}
		keeper, err := fd.PassKeeper()
		if err != nil {
			return err
		}
		return syscall.Exec("/proc/self/exe", os.Args, append(append(os.Environ(), settledVariable+"=1"), keeper...))
	}
	return nil
}

package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/compile"
)

// InnerCommand is the hidden subcommand with which crak executes itself in new namespaces. It must call Inner.
const InnerCommand = "inner"

// The descriptors with which the other crak starts, besides the standard ones.
const (
	innerFd  = 3 // the socket between the two
	imageFd  = 4 // the image's directory. This crak has checked its owner, because the other crak cannot do so in a user namespace
	keeperFd = 5 // the socket to the keeper, if there is one
)

// inNamespace starts another crak, which restarts the image in a new PID namespace. This crak keeps the terminal, and passes signals on.
// The other crak is process 1 of the namespace. If the program was process 1 itself, the other crak stays outside; the
// interpreter that it starts is process 1, and becomes the program.
//
//	this crak                   the other crak
//	request          ->
//	                 <-  exists, with a pidfd      the program exists, and waits
//	go               ->
//	                 <-  runs
//	                 <-  changed …                 stopped, ended
func inNamespace(ctx context.Context, img *image.Image, o *Options, f *foreground, choice compile.GroupChoice, private bool) (status unix.WaitStatus, err error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return 0, err
	}
	user := needsUserNamespace()
	var kinds uintptr
	if !isFirst(img.Group) {
		kinds = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	if len(sysvOf(img.Group)) > 0 {
		kinds |= unix.CLONE_NEWIPC // all IDs are free there, and crak can choose them
	}
	if user {
		kinds |= unix.CLONE_NEWUSER
	}
	pid, err := startInner(theirs, img.Handle(), kinds, o.Detach)
	theirs.Close()
	if err != nil {
		ours.Close()
		return 0, obstacle.Obstacle{What: "new PID namespace", Why: err.Error(),
			Do: "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or restart it as root"}
	}
	w := &wire{socket: ours}
	defer w.close()
	runs := false
	defer func() {
		if !runs {
			unix.Kill(pid, unix.SIGKILL) // if it is process 1, all processes in the namespace end with it
			awaitEnd(pid)
			f.send(unix.SIGKILL)
		}
	}()
	stop := context.AfterFunc(ctx, func() { unix.Kill(pid, unix.SIGKILL) })
	defer stop()
	request := o.request(user, isFirst(img.Group), choice)
	request.PrivateNetwork = private
	if err := w.send(innerMessage{Request: request}); err != nil {
		return 0, err
	}
	if err := w.follow(o, f, stop); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return 0, err
	}
	runs = true
	f.running()
	o.Started(f.pid)
	if o.Detach {
		return 0, nil
	}
	defer awaitEnd(pid) // the namespace ends with the root
	return f.follow(w.changes())
}

// awaitEnd waits a while until a child has ended, and reaps it.
func awaitEnd(pid int) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(pidfd)
	if n, _ := busypoll.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, killTimeout); n > 0 {
		wait(pid)
	}
}

// isFirst tells whether the program was process 1 of its PID namespace.
func isFirst(g *image.Group) bool { return g.Root == 1 }

// needsUserNamespace tells whether crak must make a new user namespace to make other namespaces. It must if it has no CAP_SYS_ADMIN.
func needsUserNamespace() bool {
	status, err := proc.Read(0, "status", proc.Status)
	return err != nil || status.CapEff&(1<<unix.CAP_SYS_ADMIN) == 0
}

// startInner executes crak in new namespaces. In a new user namespace it has the same IDs, and all capabilities. They are ambient,
// so that the exec keeps them.
func startInner(socket, image *os.File, kinds uintptr, session bool) (pid int, err error) {
	attr := &syscall.SysProcAttr{Cloneflags: kinds, Setsid: session}
	if kinds&unix.CLONE_NEWUSER != 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		for c := range uintptr(unix.CAP_LAST_CAP + 1) {
			attr.AmbientCaps = append(attr.AmbientCaps, c)
		}
	}
	env, files := os.Environ(), []uintptr{0, 1, 2, innerFd: socket.Fd(), imageFd: image.Fd()}
	if keeper := fd.KeeperSocket(); keeper != nil {
		env, files = append(env, fd.KeeperSetting(keeperFd)), append(files, keeper.Fd())
	}
	pid, err = syscall.ForkExec("/proc/self/exe", []string{"crak", InnerCommand}, &syscall.ProcAttr{Env: env, Files: files, Sys: attr})
	fd.EndKeeper() // the other crak has it
	return pid, err
}

// follow reads messages of the other crak until the program runs. When the program exists, follow calls uninterruptible, which has
// signals no longer end the restart. uninterruptible returns false if a signal has ended the restart already.
func (w *wire) follow(o *Options, f *foreground, uninterruptible func() bool) error {
	for {
		m, pidfds, err := w.receive()
		if err == io.EOF {
			return errors.New("process 1 of the new PID namespace has ended")
		}
		if err != nil {
			return err
		}
		switch {
		case m.Obstacles != nil:
			return m.Obstacles
		case m.Failed != "":
			return errors.New(m.Failed)
		case m.Notice != "":
			o.Notice(m.Notice)
		case m.Exists:
			if !uninterruptible() {
				return errors.New("interrupted")
			}
			if err := f.adoptFrom(pidfds); err != nil {
				return fmt.Errorf("new PID namespace: %w", err)
			}
			if err := w.send(innerMessage{Go: true}); err != nil {
				return err
			}
		case m.Runs:
			return nil
		}
	}
}

// changes returns the state changes of the program, until its end.
func (w *wire) changes() <-chan change {
	changes := make(chan change)
	go func() {
		defer close(changes)
		for {
			m, _, err := w.receive()
			if err != nil {
				return
			}
			if m.Changed != nil {
				changes <- change(*m.Changed)
			}
		}
	}()
	return changes
}

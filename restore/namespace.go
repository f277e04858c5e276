package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/compile"
)

// InnerCommand is the hidden subcommand by which crak runs itself in new namespaces. It is to call Inner.
const InnerCommand = "inner"

// The descriptors that the other crak starts with, beside the standard ones.
const (
	innerFd = 3 // the socket between the two
	imageFd = 4 // the image's directory, which we have checked: in its user namespace the other does not know root
)

// inNamespace has another crak restart the image in a new PID namespace. We keep the terminal and the signals.
// The other crak is process 1 of that namespace. Where the program was process 1 itself, it stays outside, and the
// interpreter that it starts is process 1 and becomes the program.
//
//	we                          the other crak
//	request          ->
//	                 <-  exists, with a pidfd      the program is made, and waits
//	go               ->
//	                 <-  runs
//	                 <-  changed …                 stopped, ended
func inNamespace(ctx context.Context, img *image.Image, o *Options, f *foreground, choice compile.GroupChoice) (status unix.WaitStatus, err error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return 0, err
	}
	user := needsUserNamespace()
	var kinds uintptr
	if !isFirst(img.Group) {
		kinds = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	if hasSegments(img.Group) {
		kinds |= unix.CLONE_NEWIPC // where their numbers are free, and ours to choose
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
			unix.Kill(pid, unix.SIGKILL) // where it is process 1, everything in the namespace ends with it
			wait(pid)
			f.send(unix.SIGKILL)
		}
	}()
	stop := context.AfterFunc(ctx, func() { unix.Kill(pid, unix.SIGKILL) })
	defer stop()
	if err := w.send(innerMessage{Request: o.request(user, isFirst(img.Group), choice)}); err != nil {
		return 0, err
	}
	if err := w.follow(o, f); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return 0, err
	}
	runs = true
	stop()
	f.running()
	o.Started(f.pid)
	if o.Detach {
		return 0, nil
	}
	return f.follow(w.changes())
}

// isFirst tells whether the program was process 1 of its PID namespace.
func isFirst(g *image.Group) bool { return g.Root == 1 }

// needsUserNamespace: only CAP_SYS_ADMIN makes other namespaces without one.
func needsUserNamespace() bool {
	status, err := proc.Read(0, "status", proc.Status)
	return err != nil || status.CapEff&(1<<unix.CAP_SYS_ADMIN) == 0
}

// startInner runs crak again, in its new namespaces. In a user namespace it keeps its own IDs, and has all
// capabilities there, also over the exec.
func startInner(socket, image *os.File, kinds uintptr, session bool) (pid int, err error) {
	attr := &syscall.SysProcAttr{Cloneflags: kinds, Setsid: session}
	if kinds&unix.CLONE_NEWUSER != 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		for c := range uintptr(unix.CAP_LAST_CAP + 1) {
			attr.AmbientCaps = append(attr.AmbientCaps, c)
		}
	}
	return syscall.ForkExec("/proc/self/exe", []string{"crak", InnerCommand}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2, innerFd: socket.Fd(), imageFd: image.Fd()}, Sys: attr})
}

// follow listens to the other crak until the program runs.
func (w *wire) follow(o *Options, f *foreground) error {
	for {
		m, pidfd, err := w.receive()
		if err == io.EOF {
			return errors.New("the process that looks after the new PID namespace has ended")
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
			pid, err := pidSeen(pidfd)
			if err != nil {
				return fmt.Errorf("new PID namespace: %w", err)
			}
			f.adopt(pid, pidfd)
			if err := w.send(innerMessage{Go: true}); err != nil {
				return err
			}
		case m.Runs:
			return nil
		}
	}
}

// changes are news of the program, until its end.
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

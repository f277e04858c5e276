package restore

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/compile"
	"crak.dev/crak/restore/interp"
	"crak.dev/crak/restore/program"
)

// An interpreter is the process that makes the root. It waits for its order, or runs.
type interpreter struct {
	pid      int
	pidfd    int
	control  *os.File // our end of the socket on which the interpreter, and all processes that it makes, report
	number   int      // of the other end
	load     *os.File // the file with the programs
	loadFd   int      // its number there
	shared   []byte   // the programs' data, once it runs
	mappings []proc.Mapping
	status   proc.StatusInfo
	layout   program.Layout // once it runs
	first    bool           // it is process 1 of a PID namespace, and becomes the member
}

// startInterpreter starts an interpreter, which inherits all placed descriptors. Its mmap_base is like that of p, and its clocks
// are ahead by shift. If first is set, it is process 1 of a new PID namespace, and has a mount namespace of its own.
func startInterpreter(d *descriptors, p *image.Process, shift clockShift, first bool) (*interpreter, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	// The kernel adds the sender's PID to each message (unix(7)).
	if err := unix.SetsockoptInt(int(ours.Fd()), unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		ours.Close()
		theirs.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	in := &interpreter{control: ours, first: first, pidfd: -1}
	if err := in.start(d, theirs, p, shift); err != nil {
		theirs.Close()
		ours.Close()
		if in.load != nil {
			in.load.Close()
		}
		return nil, fmt.Errorf("interpreter: %w", err)
	}
	return in, nil
}

func (in *interpreter) start(d *descriptors, control *os.File, p *image.Process, shift clockShift) error {
	binary, err := memoryFile("crak-interpreter", interp.Binary)
	if err != nil {
		return err
	}
	defer binary.Close()
	if in.load, err = memoryFile("crak-programs", nil); err != nil {
		return err
	}
	if in.loadFd, err = d.share(in.load); err != nil {
		return err
	}
	if in.number, err = d.give(control); err != nil {
		return err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", binary.Fd())
	attr := &syscall.SysProcAttr{}
	if in.first {
		attr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	err = shift.ahead(func() error {
		return likeAddressSpace(p, func() error {
			in.pid, err = syscall.ForkExec(path, []string{"crak-interpreter", strconv.Itoa(in.number)}, &syscall.ProcAttr{Dir: "/", Sys: attr})
			return err
		})
	})
	if err != nil {
		return err
	}
	if in.pidfd, err = unix.PidfdOpen(in.pid, 0); err == nil {
		in.mappings, err = in.readMappings()
	}
	if err == nil {
		in.status, err = proc.Read(in.pid, "status", proc.Status)
	}
	if err != nil {
		in.kill()
	}
	return err
}

// bootTimeout is how long we wait for the first message of an executed interpreter.
const bootTimeout = 10 * time.Second

// readMappings reads the interpreter's mappings. It first waits for a message of the interpreter: ForkExec returns when exec closes
// descriptors, and that is before the kernel maps the new program (begin_new_exec in fs/exec.c).
func (in *interpreter) readMappings() ([]proc.Mapping, error) {
	word := []unix.PollFd{{Fd: int32(in.control.Fd()), Events: unix.POLLIN}}
	if n, err := busypoll.Poll(word, bootTimeout); n == 0 || err != nil {
		return nil, errors.New("it does not start")
	}
	buf := make([]byte, program.ReportSize)
	if n, err := in.control.Read(buf); err != nil || n != len(buf) {
		return nil, fmt.Errorf("its first message has %d bytes: %v", n, err)
	}
	return proc.Read(in.pid, "maps", proc.Maps)
}

// memoryFile makes an unnamed file that can be executed.
func memoryFile(name string, content []byte) (*os.File, error) {
	const executable = 0x10 // MFD_EXEC, since Linux 6.3
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|executable)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(content); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// run writes the programs to the interpreter's file, and sends the order to run them.
func (in *interpreter) run(set *program.Set, g *image.Group) error {
	layout := set.Measure(uint64(len(interp.Binary)))
	area, err := compile.Room(layout.Length, in.mappings, g)
	if err != nil {
		return err
	}
	layout = layout.Move(area)
	in.layout = layout
	if err := set.Check(layout); err != nil {
		return err
	}
	if err := in.write(set.Encode(layout), layout); err != nil {
		return fmt.Errorf("programs: %w", err)
	}
	order := layout.Order(int32(in.loadFd))
	if _, err := unix.Write(int(in.control.Fd()), order.Bytes()); err != nil {
		return fmt.Errorf("interpreter: %w", err)
	}
	return nil
}

// write writes the file with the programs, and maps their data. No process may shorten the file: crak's mapping needs it.
func (in *interpreter) write(load []byte, layout program.Layout) error {
	_, err := in.load.WriteAt(load, 0)
	if err == nil {
		err = in.load.Truncate(int64(layout.FileLength()))
	}
	if err == nil {
		_, err = unix.FcntlInt(in.load.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	}
	if err == nil {
		in.shared, err = unix.Mmap(int(in.load.Fd()), int64(layout.Data-layout.Load), int(layout.Stacks-layout.Data),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	return err
}

// arrive adds one to a counter, and wakes the processes that await it. Preconditions: it runs.
func (in *interpreter) arrive(counter program.Arg) error {
	at := (*uint32)(unsafe.Pointer(&in.shared[counter.Value]))
	atomic.AddUint32(at, 1)
	const wake = 1 // FUTEX_WAKE
	if _, _, errno := unix.Syscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(at)), wake, math.MaxInt32); errno != 0 {
		return fmt.Errorf("futex: %w", errno)
	}
	return nil
}

func (in *interpreter) kill() {
	unix.Kill(in.pid, unix.SIGKILL)
	in.wait()
}

func (in *interpreter) wait() (unix.WaitStatus, error) { return wait(in.pid) }

func (in *interpreter) close() {
	in.control.Close()
	in.load.Close()
	if in.shared != nil {
		unix.Munmap(in.shared)
	}
	if in.pidfd >= 0 {
		unix.Close(in.pidfd)
	}
}

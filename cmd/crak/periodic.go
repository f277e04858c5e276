package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// A separate process, the timekeeper (`crak periodic`), makes periodic checkpoints. It runs crak checkpoint at each interval, and
// ends when the program ends.
//
// The timekeeper must not be a child of the program, because the program could wait for it. So crak run starts a first
// `crak periodic`, which starts the timekeeper and exits. Both inherit a pidfd of the program, so that they never mistake
// another process for it.

// periodicCommand is the name of the hidden command.
const periodicCommand = "periodic"

// pidfdNumber is the descriptor of the program's pidfd in `crak periodic`.
const pidfdNumber = 3

// A schedule says when images are made, and how many stay. The zero value makes none.
type schedule struct {
	interval time.Duration
	keep     int
}

// shortestInterval is the shortest time between two checkpoints.
const shortestInterval = time.Second

// flags adds the flags of crak run and crak restart.
func (s *schedule) flags(flags *pflag.FlagSet) {
	flags.DurationVar(&s.interval, "interval", 0, "make an image at this interval, for example 10m, until the program ends")
	flags.IntVar(&s.keep, "keep", 0, "with --interval: after each image, remove all but the newest N images of the program; default: remove none")
}

// check refuses values that make no sense.
func (s *schedule) check(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("interval") && s.interval < shortestInterval:
		return fmt.Errorf("--interval=%v: shorter than %v", s.interval, shortestInterval)
	case cmd.Flags().Changed("keep") && s.interval == 0:
		return errors.New("--keep is for --interval")
	}
	return checkKeep(cmd, s.keep)
}

func checkKeep(cmd *cobra.Command, keep int) error {
	if cmd.Flags().Changed("keep") && keep < 1 {
		return fmt.Errorf("--keep=%d: less than 1", keep)
	}
	return nil
}

// begin starts the timekeeper of a program.
func (s *schedule) begin(pid int) error {
	if s.interval == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("--interval: pid %d: pidfd_open: %w", pid, err)
	}
	program := os.NewFile(uintptr(fd), "pidfd")
	defer program.Close()
	if err := s.command(pid, "first", program).Run(); err != nil {
		return fmt.Errorf("--interval: the process that makes the images cannot be started: %w", err)
	}
	return nil
}

// beginOrSay is begin for a program that runs already: an error is a notice.
func (s *schedule) beginOrSay(pid int) {
	if err := s.begin(pid); err != nil {
		notice(err.Error())
	}
}

// command is a `crak periodic` without a terminal: it has a session of its own, and only the pidfd besides /dev/null.
func (s *schedule) command(pid int, step string, program *os.File) *exec.Cmd {
	c := exec.Command("/proc/self/exe", periodicCommand, step, strconv.Itoa(pid), s.interval.String(), strconv.Itoa(s.keep))
	c.Args[0] = "crak"
	c.Dir = "/"
	c.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "CRAK_GROUP=") }) // it is not a member
	c.ExtraFiles = []*os.File{program}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

// newPeriodic is the hidden command.
func newPeriodic() *cobra.Command {
	return &cobra.Command{
		Use:    periodicCommand + " first|timekeeper PID INTERVAL KEEP",
		Hidden: true,
		Args:   cobra.ExactArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := unix.CloseRange(pidfdNumber+1, math.MaxUint32, 0); err != nil {
				return fmt.Errorf("close_range: %w", err)
			}
			unix.CloseOnExec(pidfdNumber)
			pid, pidErr := strconv.Atoi(args[1])
			interval, intervalErr := time.ParseDuration(args[2])
			keep, keepErr := strconv.Atoi(args[3])
			if err := errors.Join(pidErr, intervalErr, keepErr); err != nil {
				return usageError{err}
			}
			s := &schedule{interval, keep}
			program := os.NewFile(pidfdNumber, "pidfd")
			if args[0] == "first" {
				return s.command(pid, "timekeeper", program).Start()
			}
			return s.makeImages(cmd.Context(), pid, program)
		},
	}
}

// makeImages makes an image at each interval until the program has ended. A checkpoint that fails is in the program's log; the
// next one may succeed.
func (s *schedule) makeImages(ctx context.Context, pid int, program *os.File) error {
	ended := []unix.PollFd{{Fd: int32(program.Fd()), Events: unix.POLLIN}}
	for next := time.Now().Add(s.interval); ; {
		n, err := unix.Poll(ended, int(max(time.Until(next), 0).Milliseconds())+1)
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("pid %d: poll: %w", pid, err)
		case time.Now().Before(next):
			continue
		}
		arguments := []string{"checkpoint"}
		if s.keep > 0 {
			arguments = append(arguments, "--keep="+strconv.Itoa(s.keep))
		}
		exec.CommandContext(ctx, "/proc/self/exe", append(arguments, strconv.Itoa(pid))...).Run()
		next = time.Now().Add(s.interval)
	}
}

package main

import (
	"cmp"
	"debug/buildinfo"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"crak.dev/crak/coord"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore"
)

func newRun() *cobra.Command {
	var dir, group, signal, net string
	var resume, closeFds, withFiles bool
	var images schedule
	o := restore.Options{Pids: restore.PidsAuto, Notice: notice, Started: images.beginOrSay}
	cmd := &cobra.Command{
		Use:   "run [--dir D] [--group NAME] [--signal SIG] [--net=private[:LINK]] [--close-fds] [--with-files] [--interval T [--keep N]] [--resume [--files=keep|rewind|strict] [--pids=auto|keep|fresh] [--force] [--path OLD=NEW]… [--addr OLD=NEW]… [--fd …]…] -- CMD [ARG…]",
		Short: "start a program that can be checkpointed",
		Long: `Start a program with libcrak.so preloaded. crak executes the program in its own place: the program has crak's PID, and no
process of crak remains.

A checkpoint takes the program with its descendants, also those that have lost their parent. With --group it also takes all
your other programs with the same NAME. They may be started at different times and from different terminals. To make the
image, use crak checkpoint --group NAME, or crak checkpoint or kill -USR2 with the PID of any of these programs. Programs
that they start are in the group, too. NAME has letters, digits, "-", "_" and ".".

With --net=private, the program gets a network namespace of its own, in which only the loopback interface exists: its ports are free
whatever other programs do, and it cannot reach another machine. A restart makes such a namespace again. If you are not root, the program
is in a user namespace as well, where setuid programs such as sudo and ping do not work. Root can add a link to the present network
namespace: with --net=private:10.9.0.2/24,10.9.0.1 the program has the first address, on an interface eth0. Here is an interface with the
second address, through which the program reaches other machines if this one forwards its packets.

With --interval, a process of crak remains in a session of its own. It makes an image at each interval, and ends with the
program. A checkpoint that fails is in the program's log, crak.log, and removes no older image.

With --resume, crak restarts the newest image in the directory. If there is no image, it starts the program. A job script
can therefore contain the same line for its first and all later runs. --files, --pids, --force, --path, --addr and --fd are those
of crak restart.

Exit status: the program's; 1 it cannot be started; 2 usage.`,
		Example: "  crak run -- ./simulate input.dat\n  crak run --resume --dir /scratch/job -- ./simulate input.dat",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(checkRunFlags(cmd, resume, group, signal), images.check(cmd)); err != nil {
				return usageError{err}
			}
			if resume {
				var err error
				o.Image, err = image.Newest(cmp.Or(dir, os.Getenv("CRAK_DIR"), "."), notice)
				if err == nil {
					err = alive(o.Image)
				}
				if err == nil {
					return restart(cmd.Context(), o)
				}
				// An image that cannot be read is an error. To start the program from the beginning would lose the work in that
				// image.
				if !errors.Is(err, image.ErrNone) {
					return err
				}
			}
			if private, link, _ := parseNet(net); private {
				if err := privateNetwork(link); err != nil {
					return err
				}
			}
			if closeFds {
				if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
					return fmt.Errorf("--close-fds: close_range: %w", err)
				}
			}
			return run(args, programSettings(dir, signal, withFiles), group, &images)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVarP(&dir, "dir", "d", "", "directory for images (CRAK_DIR); default: the current directory")
	flags.StringVarP(&group, "group", "g", "", "name of a group of programs that are checkpointed together (CRAK_GROUP)")
	flags.StringVar(&signal, "signal", "", "the signal that asks for a checkpoint (CRAK_SIGNAL); default: USR2")
	flags.StringVar(&net, "net", "", "`private[:LINK]`: start the program in a network namespace of its own, with a link to this one")
	flags.BoolVar(&closeFds, "close-fds", false, "start the program with standard input, output and error only; "+
		"other descriptors, inherited from a shell or an IDE, may be obstacles to a checkpoint")
	flags.BoolVar(&withFiles, "with-files", false, "every image also has the regular files that the program can write to (CRAK_WITH_FILES); see crak checkpoint")
	flags.BoolVar(&resume, "resume", false, "restart the newest image in the directory, if there is one")
	images.flags(flags)
	restartFlags(cmd, &o)
	return cmd
}

// alive returns an error if the program of an image still runs. A second one would write to the same files.
func alive(path string) error {
	img, err := image.Open(path)
	if err != nil {
		return err
	}
	defer img.Close()
	for i := range img.Group.Processes {
		p := &img.Group.Processes[i]
		exe, exeErr := os.Readlink(proc.Path(int(p.Pid), "exe"))
		cwd, cwdErr := os.Readlink(proc.Path(int(p.Pid), "cwd"))
		if exeErr == nil && cwdErr == nil && exe == p.Executable.Path && cwd == p.Cwd {
			return fmt.Errorf("pid %d: %s still runs in %s; to restart a second one nevertheless: crak restart %s", p.Pid, exe, cwd, printable.Shell(path))
		}
	}
	return nil
}

// checkRunFlags refuses flags that would have no effect, and signals that do not exist.
func checkRunFlags(cmd *cobra.Command, resume bool, group, signal string) error {
	for _, name := range []string{"pids", "files", "force", "path", "addr", "fd"} {
		if cmd.Flags().Changed(name) && !resume {
			return fmt.Errorf("--%s is for --resume", name)
		}
	}
	if _, _, err := parseNet(cmd.Flags().Lookup("net").Value.String()); err != nil {
		return err
	}
	if err := coord.CheckGroup(group); err != nil && cmd.Flags().Changed("group") {
		return fmt.Errorf("--group %w", err)
	}
	if _, err := coord.RunGroup(os.Getpid(), ""); err != nil && group == "" {
		return fmt.Errorf("CRAK_GROUP %w", err)
	}
	if _, err := coord.ParseTrigger(signal); err != nil {
		return fmt.Errorf("--signal %w", err)
	}
	if _, err := coord.ParseTrigger(os.Getenv("CRAK_SIGNAL")); err != nil && signal == "" {
		return fmt.Errorf("CRAK_SIGNAL %w", err)
	}
	return nil
}

// programSettings are the settings that the flags stand for.
func programSettings(dir, signal string, withFiles bool) map[string]string {
	set := make(map[string]string)
	if dir != "" {
		set["CRAK_DIR"] = dir
	}
	if signal != "" {
		set["CRAK_SIGNAL"] = signal
	}
	if withFiles {
		set["CRAK_WITH_FILES"] = "1"
	}
	return set
}

// run executes the program in place of crak, with some settings.
func run(args []string, set map[string]string, group string, images *schedule) error {
	path, err := exec.LookPath(args[0])
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := preloadable(path); err != nil {
		return err
	}
	library, err := libraryPath()
	if err != nil {
		return err
	}
	if group, err = coord.RunGroup(os.Getpid(), group); err != nil {
		return err
	}
	set["LD_PRELOAD"], set["CRAK_GROUP"] = library, group
	if others := os.Getenv("LD_PRELOAD"); others != "" {
		set["LD_PRELOAD"] = library + ":" + others
	}
	if dir := set["CRAK_DIR"]; dir != "" {
		if set["CRAK_DIR"], err = filepath.Abs(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(set["CRAK_DIR"], 0o700); err != nil {
			return err
		}
	}
	if _, err := buildinfo.ReadFile(path); err == nil {
		notice(fmt.Sprintf("%s: a Go program: it handles every signal itself, so no signal asks it for a checkpoint; use crak checkpoint %d", path, os.Getpid()))
	}
	if err := images.begin(os.Getpid()); err != nil {
		return err
	}
	if err := dropPrivileges(); err != nil {
		return err
	}
	err = unix.Exec(path, args, environment(set))
	return fmt.Errorf("%s: %w", path, err)
}

// environment is crak's environment with some variables set.
func environment(set map[string]string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if _, changed := set[name]; !changed {
			env = append(env, entry)
		}
	}
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	return env
}

// preloadable refuses programs that the loader would run without libcrak.so.
func preloadable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	refuse := func(what, why, do string) error {
		return obstacle.Obstacle{Where: path, What: what, Why: why, Do: do}
	}
	privileged := st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && (st.Uid != uint32(os.Geteuid()) || st.Mode&unix.S_ISGID != 0)
	if privileged || hasCapabilities(path) {
		return refuse("setuid program", "the loader ignores LD_PRELOAD for it", "start a copy of it without that bit, as the user whose rights it needs")
	}
	if what, do := coord.Preloadable(path); what != "" {
		return refuse(what, "libcrak.so cannot be preloaded into it", do)
	}
	return nil
}

// hasCapabilities tells whether a file has capabilities (capabilities(7)). The loader treats it like a setuid program, unless
// root executes it.
func hasCapabilities(path string) bool {
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0 && os.Geteuid() != 0
}

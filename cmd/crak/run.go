package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"crak.dev/crak/coord"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

func newRun() *cobra.Command {
	var dir, signal string
	var resume bool
	cmd := &cobra.Command{
		Use:   "run [--dir D] [--signal SIG] [--resume] -- CMD [ARG…]",
		Short: "start a program that can be checkpointed",
		Long: `Start a program with libcrak.so preloaded. crak becomes the program: it keeps the PID, and nothing of
crak stays behind.

With --resume, one line does for a job script that is run again and again: the newest image under
the directory is restarted, or the program started if there is none.

Exit status: the program's; 1 it cannot be started so; 2 usage.`,
		Example: "  crak run -- ./simulate input.dat\n  crak run --resume --dir /scratch/job -- ./simulate input.dat",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if resume {
				path, err := image.Newest(cmp.Or(dir, os.Getenv("CRAK_DIR"), "."))
				if err == nil {
					return restartImage(cmd, path)
				}
				// One that cannot be read is an error: to start from the beginning would throw work away.
				if !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return run(args, dir, signal)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVarP(&dir, "dir", "d", "", "where images go (CRAK_DIR); default: this directory")
	flags.StringVar(&signal, "signal", "", "the signal that asks for a checkpoint (CRAK_SIGNAL); default: USR2")
	flags.BoolVar(&resume, "resume", false, "restart the newest image under the directory, if there is one")
	return cmd
}

// run executes the program in place of crak.
func run(args []string, dir, signal string) error {
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
	set := map[string]string{"LD_PRELOAD": library}
	if others := os.Getenv("LD_PRELOAD"); others != "" {
		set["LD_PRELOAD"] = library + ":" + others
	}
	if dir != "" {
		if set["CRAK_DIR"], err = filepath.Abs(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(set["CRAK_DIR"], 0o700); err != nil {
			return err
		}
	}
	if signal != "" {
		set["CRAK_SIGNAL"] = signal
	}
	err = unix.Exec(path, args, environment(set))
	return fmt.Errorf("%s: %w", path, err)
}

// environment is ours with some variables set.
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

// preloadable refuses at once what the loader would run without the library.
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
		return refuse("setuid program", "the loader ignores LD_PRELOAD for it", "start it as its user, from a copy without the bit")
	}
	if what, do := coord.Preloadable(path); what != "" {
		return refuse(what, "libcrak.so cannot be preloaded into it", do)
	}
	return nil
}

// hasCapabilities: a file with capabilities (capabilities(7)) is treated like a setuid one, except for root.
func hasCapabilities(path string) bool {
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0 && os.Geteuid() != 0
}

package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"crak.dev/crak/coord"
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
	"crak.dev/crak/restore"
)

func newCheck() *cobra.Command {
	var asJSON bool
	env := fd.Env{Files: fd.Keep}
	cmd := &cobra.Command{
		Use:   "check [--json] PID|IMAGE",
		Short: "list the obstacles to a checkpoint or a restart",
		Long: `List what would prevent a checkpoint of a process, or a restart of an image on this machine. The output
tells what each obstacle is, why it is one, and what to do. Obstacles of one kind share a line; --json lists each one.

A number is a PID. If the directory of an image has a number as its name, write ./NUMBER. The process is not stopped,
so the obstacles may have changed a moment later. The page contents of an image are not read: use crak verify.

Exit status: 0 no obstacle; 1 there are obstacles, or there is no such process or image; 2 usage.`,
		Example: "  crak check 412\n  crak check --files=strict app.412",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := check(cmd, args[0], &env)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), found)
			} else {
				err = found.print(cmd.OutOrStdout())
			}
			if err == nil && !found.OK {
				err = fmt.Errorf("%s: %s", found.Subject, count(len(found.Obstacles), "obstacle"))
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	flags.Var(&env.Files, "files", "as crak restart --files: what to do with files written to since the checkpoint")
	flags.BoolVar(&env.Force, "force", false, "as crak restart --force: accept files that shrank, were replaced, or are gone")
	return cmd
}

// checked is the object that crak check --json prints.
type checked struct {
	Subject   string        `json:"subject"` // "pid 412", or the image's path
	OK        bool          `json:"ok"`
	Obstacles obstacle.List `json:"obstacles"`
	Notices   []string      `json:"notices,omitempty"`
	Image     *imageBrief   `json:"image,omitempty"` // of a process: its newest image
}

func check(cmd *cobra.Command, subject string, env *fd.Env) (*checked, error) {
	found := &checked{Subject: subject, Obstacles: obstacle.List{}}
	env.Notice = func(text string) { found.Notices = append(found.Notices, text) }
	var list obstacle.List
	var err error
	if pid, notNumber := strconv.Atoi(subject); notNumber == nil && pid > 0 {
		found.Subject = "pid " + subject
		var rights *coord.Rights
		if rights, err = coord.Adopt(pid); err != nil {
			return nil, err
		}
		list, err = found.checkProcess(pid, rights)
	} else {
		list, err = found.checkImage(cmd, env)
	}
	found.Obstacles = append(found.Obstacles, list...)
	found.OK = len(list) == 0
	return found, err
}

func (c *checked) checkProcess(pid int, rights *coord.Rights) (obstacle.List, error) {
	report, err := coord.Check(pid, rights)
	if err != nil {
		return nil, err
	}
	c.Notices = report.Notices
	if report.Images != "" {
		if path, manifest, err := image.ReadManifest(report.Images); err == nil { // else there is none, or not one of this user's
			c.Image = &imageBrief{path, manifest.Created}
		}
	}
	return report.Obstacles, nil
}

func (c *checked) checkImage(cmd *cobra.Command, env *fd.Env) (obstacle.List, error) {
	if err := asOwner(cmd, c.Subject); err != nil {
		return nil, err
	}
	img, err := image.Open(c.Subject)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	c.Subject = img.Path
	return restore.Check(img, env)
}

func (c *checked) print(w io.Writer) error {
	if len(c.Obstacles) > 0 {
		if _, err := fmt.Fprintln(w, c.Obstacles.Error()); err != nil {
			return err
		}
	}
	for _, n := range c.Notices {
		if _, err := fmt.Fprintf(w, "notice: %s\n", printable.Text(n)); err != nil {
			return err
		}
	}
	if !c.OK {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: no obstacles\n", printable.Text(c.Subject))
	return err
}

// count formats a number of things: "1 obstacle", "2 obstacles".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

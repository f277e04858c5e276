package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"crak.dev/crak/coord"
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
	"crak.dev/crak/restore"
)

func newCheck() *cobra.Command {
	var asJSON, descriptors bool
	var which selection
	var changes fd.Changes
	var env fd.Env
	cmd := &cobra.Command{
		Use:   "check [--json] [--descriptors] [--only | --skip PID|NAME…] [--path OLD=NEW]… [--addr OLD=NEW]… [--fd …]… PID|--group NAME|IMAGE",
		Short: "list the obstacles to a checkpoint or a restart",
		Long: `List what would prevent a checkpoint of a process, or a restart of an image on this machine. The output
tells what each obstacle is, why it is one, and what to do. Obstacles of one kind share a line; --json lists each one.

A number is a PID. If the directory of an image has a number as its name, write ./NUMBER. The process is not stopped,
so the obstacles may have changed a moment later. --group, --only and --skip have the same meaning as for crak checkpoint.
--descriptors also tells for each descriptor what becomes of it, with the choices of --fd, --path, --files and --force: it is saved or
comes back, is left out, has something else in its place, or is refused.
The page contents of an image are not read: use crak verify.

Exit status: 0 no obstacle; 1 there are obstacles, or there is no such process or image; 2 usage.`,
		Example: "  crak check 412\n  crak check --files=strict app.412",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			isImage := len(args) == 1 && pidOf(args[0]) == 0
			if isImage && (which.only || len(which.skip) > 0 || which.group != "") {
				return usageError{fmt.Errorf("%q: not a PID", args[0])}
			}
			found := &checked{Obstacles: obstacle.List{}}
			var err error
			if isImage {
				found.Subject = args[0]
				err = found.checkImage(cmd, &env, &changes, descriptors)
			} else if err = which.check(cmd, args); err != nil {
				return usageError{err}
			} else {
				err = found.checkProcess(args, &which, changes.Instead, descriptors)
			}
			found.OK = len(found.Obstacles) == 0
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
	which.flags(flags)
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	flags.BoolVar(&descriptors, "descriptors", false, "tell what becomes of each descriptor")
	flags.Var(&env.Files, "files", "as crak restart --files: what to do with files written to since the checkpoint")
	changeFlags(flags, &changes)
	flags.BoolVar(&env.Force, "force", false, "as crak restart --force: accept files that shrank, were replaced, or are gone")
	return cmd
}

// checked is the object that crak check --json prints.
type checked struct {
	Subject     string        `json:"subject"` // "pid 412", or the image's path
	OK          bool          `json:"ok"`
	Obstacles   obstacle.List `json:"obstacles"`
	Notices     []string      `json:"notices,omitempty"`
	Descriptors []fd.Outcome  `json:"descriptors,omitempty"`
	Image       *imageBrief   `json:"image,omitempty"` // of a process: its newest image
}

func (c *checked) checkProcess(args []string, which *selection, instead fd.Overrides, descriptors bool) error {
	pid, err := which.root(args)
	if err != nil {
		return err
	}
	if err := enterNetwork(pid); err != nil {
		return err
	}
	c.Subject = fmt.Sprintf("pid %d", pid)
	rights, err := coord.Adopt(pid, keepForProgram)
	if err != nil {
		return err
	}
	report, err := coord.Check(coord.Options{Pid: pid, Rights: rights, Only: which.only, Skip: which.skip, Overrides: instead, Explain: descriptors})
	if err != nil {
		return err
	}
	c.Obstacles = append(c.Obstacles, report.Obstacles...)
	c.Notices, c.Descriptors = report.Notices, report.Outcomes
	if report.Images != "" {
		if path, manifest, err := image.ReadManifest(report.Images); err == nil { // otherwise no image of this user is there
			c.Image = &imageBrief{path, manifest.Created}
		}
	}
	return nil
}

func (c *checked) checkImage(cmd *cobra.Command, env *fd.Env, changes *fd.Changes, descriptors bool) error {
	if err := asOwner(cmd, c.Subject); err != nil {
		return err
	}
	img, err := image.Open(c.Subject)
	if err != nil {
		return err
	}
	defer img.Close()
	c.Subject = img.Path
	before := fd.Remember(img.Group)
	if err := changes.Apply(img.Group); err != nil {
		return err
	}
	env.Elsewhere = img.Group.PrivateNetwork // a restart makes a network namespace
	env.Notice = func(text string) { c.Notices = append(c.Notices, text) }
	list, err := restore.Check(img, env)
	c.Obstacles = append(c.Obstacles, list...)
	if descriptors {
		c.Descriptors = before.Outcomes(img.Group, env)
	}
	return err
}

func (c *checked) print(w io.Writer) error {
	if err := printOutcomes(w, c.Descriptors); err != nil {
		return err
	}
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

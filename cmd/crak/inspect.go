package main

import (
	"encoding/json"
	"io"
	"slices"
	"sort"

	"github.com/spf13/cobra"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/printable"
)

func newInspect() *cobra.Command {
	var asJSON bool
	var changes fd.Changes
	var env fd.Env
	cmd := &cobra.Command{
		Use:   "inspect [--json] [--path OLD=NEW]… [--addr OLD=NEW]… [--fd …]… [--files=keep|rewind|strict] [--force] IMAGE",
		Short: "show what is in an image",
		Long: `Show the content of an image: program, host, processes, threads with the system call that each is in, mappings
with the size of their saved content, descriptors, signals and timers.

IMAGE is the directory of an image, or the directory of a program's images: then the newest image is shown.
With one of the options of crak restart (--fd, --path, --addr, --files, --force), only what becomes of each descriptor in a restart
with these options is shown.
Page contents are not read: use crak verify.

Exit status: 0 shown; 1 not an image, or a damaged one; 2 usage.`,
		Example: "  crak inspect app.412\n  crak inspect --json app.412/3 | jq .group.processes[0].threads",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			img, err := openImage(cmd, args[0])
			if err != nil {
				return err
			}
			defer img.Close()
			if anyChanged(cmd, "fd", "path", "addr", "files", "force") {
				before := fd.Remember(img.Group)
				if err := changes.Apply(img.Group); err != nil {
					return err
				}
				outcomes := before.Outcomes(img.Group, &env)
				if asJSON {
					return printJSON(cmd.OutOrStdout(), outcomes)
				}
				return printOutcomes(cmd.OutOrStdout(), outcomes)
			}
			if asJSON {
				return inspectJSON(cmd.OutOrStdout(), img)
			}
			return inspectText(cmd.OutOrStdout(), img)
		},
	}
	flags := cmd.Flags()
	changeFlags(flags, &changes)
	flags.Var(&env.Files, "files", "as crak restart --files")
	flags.BoolVar(&env.Force, "force", false, "as crak restart --force")
	flags.BoolVar(&asJSON, "json", false, "print everything as one JSON object")
	return cmd
}

// anyChanged tells whether one of some flags was given.
func anyChanged(cmd *cobra.Command, names ...string) bool {
	return slices.ContainsFunc(names, cmd.Flags().Changed)
}

// inspection is the object that crak inspect --json prints.
type inspection struct {
	Path     string                     `json:"path"`
	Manifest *image.Manifest            `json:"manifest"`
	Group    *image.Group               `json:"group"`
	Spaces   map[image.Space]spaceTotal `json:"spaces"`
}

type spaceTotal struct {
	Frames      uint64 `json:"frames"`
	RawBytes    uint64 `json:"raw_bytes"`
	StoredBytes uint64 `json:"stored_bytes"`
	SameBytes   uint64 `json:"same_bytes,omitempty"` // of raw_bytes: those that another process has, too
}

func inspectJSON(w io.Writer, img *image.Image) error {
	all := inspection{Path: img.Path, Manifest: img.Manifest, Group: img.Group, Spaces: make(map[image.Space]spaceTotal)}
	for _, s := range img.Spaces() {
		t := img.Totals(s)
		all.Spaces[s] = spaceTotal{Frames: t.Frames, RawBytes: t.Raw, StoredBytes: t.Stored, SameBytes: t.Same}
	}
	return printJSON(w, all)
}

// printJSON prints the object of a --json option, indented.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(printable.JSON(printable.Indent(w)))
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// savedBytes counts the bytes of saved content for each mapping of each process.
func savedBytes(img *image.Image) (map[image.Pid][]uint64, error) {
	all := make(map[image.Space]*saved)
	byPid := make(map[image.Pid][]uint64)
	for i := range img.Group.Processes {
		p := &img.Group.Processes[i]
		byPid[p.Pid] = make([]uint64, len(p.Mappings))
		all[image.ProcessSpace(p.Pid)] = &saved{p.Mappings, byPid[p.Pid]}
	}
	for f, err := range img.Frames("") {
		if err != nil {
			return nil, err
		}
		if s := all[f.Space]; s != nil {
			s.add(f.Runs)
		}
	}
	return byPid, nil
}

// saved counts bytes of saved content for each mapping.
type saved struct {
	mappings []image.Mapping
	bytes    []uint64
}

func (s *saved) add(runs []image.Run) {
	for _, r := range runs {
		n := sort.Search(len(s.mappings), func(i int) bool { return uint64(s.mappings[i].End) > r.Start })
		for ; n < len(s.mappings) && uint64(s.mappings[n].Start) < r.End(); n++ {
			start := max(r.Start, uint64(s.mappings[n].Start))
			s.bytes[n] += min(r.End(), uint64(s.mappings[n].End)) - start
		}
	}
}

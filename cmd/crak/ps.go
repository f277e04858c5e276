package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crak.dev/crak/coord"
	"crak.dev/crak/internal/obstacle"
)

func newPs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps [--json]",
		Short: "list the programs that can be checkpointed",
		Long: `List the processes that were started with libcrak.so, and their descendants. A process and its descendants form a
group, which is checkpointed together. All programs of a user that crak run --group has started with one name form one group,
too. For each process the output tells its PID, the PID of its parent, its name, threads and memory, and the age of the newest
image of its group. It also tells whether a checkpoint would work, and if not, why. --json lists every obstacle.

A user sees the user's own processes, root sees all. No process is stopped.

Exit status: 0; 1 the processes cannot be listed; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := listed(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printListed(cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// processList is the object that crak ps --json prints.
type processList struct {
	Processes []listedProcess `json:"processes"`
}

// A listedProcess is one process of a group.
type listedProcess struct {
	Pid       int           `json:"pid"`
	Parent    int           `json:"parent"`
	Root      int           `json:"root"`            // of the group of processes
	Group     string        `json:"group,omitempty"` // crak run --group
	Program   string        `json:"program"`
	UID       uint32        `json:"uid"`
	Threads   int           `json:"threads"`
	Memory    uint64        `json:"memory"` // bytes
	Zombie    bool          `json:"zombie,omitempty"`
	Image     *imageBrief   `json:"image,omitempty"` // the newest of its group
	OK        bool          `json:"ok"`              // a checkpoint of its group would work
	Obstacles obstacle.List `json:"obstacles"`       // obstacles of this process. The root also has those that belong to no process
}

// listed lists all processes. It has a crak check for each group, which root runs with the rights of the group's user.
func listed(ctx context.Context) (*processList, error) {
	programs, err := coord.Programs()
	if err != nil {
		return nil, err
	}
	checks := checkRoots(ctx, programs)
	list := &processList{Processes: []listedProcess{}}
	for _, p := range programs {
		c := checks[p.Root]
		l := listedProcess{Pid: p.Pid, Parent: p.Parent, Root: p.Root, Group: p.Group, Program: p.Name, UID: p.UID,
			Threads: p.Threads, Memory: p.Memory, Zombie: p.Zombie, Image: c.Image, OK: c.OK, Obstacles: obstacle.List{}}
		for _, o := range c.Obstacles {
			if o.Pid == p.Pid || o.Pid == 0 && p.Pid == p.Root {
				l.Obstacles = append(l.Obstacles, o)
			}
		}
		list.Processes = append(list.Processes, l)
	}
	return list, nil
}

// checkRoots runs crak check for the root of each group.
func checkRoots(ctx context.Context, programs []coord.Program) map[int]*checked {
	checks := make(map[int]*checked)
	late := make(map[uint32]*atomic.Int32) // checks that have not ended in time, by user
	var group sync.WaitGroup
	limit := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	for _, p := range programs {
		if checks[p.Root] != nil {
			continue
		}
		c := &checked{}
		checks[p.Root] = c
		if late[p.UID] == nil {
			late[p.UID] = new(atomic.Int32)
		}
		late := late[p.UID]
		if late.Load() >= mostLate {
			*c = unchecked(p.Root, "other groups of its user could not be checked in time")
			continue
		}
		limit <- struct{}{}
		group.Go(func() {
			var inTime bool
			if *c, inTime = checkApart(ctx, p.Root); !inTime {
				late.Add(1)
			}
			<-limit
		})
	}
	group.Wait()
	return checks
}

const (
	checkTimeout = 10 * time.Second // for one crak check
	mostLate     = 4                // checks of one user that may take longer: the others are then left out
	longestCheck = 16 << 20         // bytes that crak check may print: a program can have any number of obstacles
)

// checkApart runs crak check in a process of its own. If it fails, its error is the obstacle.
func checkApart(ctx context.Context, root int) (c checked, inTime bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var text, errors bounded
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "check", "--json", strconv.Itoa(root))
	cmd.Stdout, cmd.Stderr = &text, &errors
	err := cmd.Run()
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		c = unchecked(root, fmt.Sprintf("crak check has not ended within %.0f s: the group is too large for that, or one of its processes does not answer", checkTimeout.Seconds()))
		return c, false
	case text.Len() > 0 && json.Unmarshal(text.Bytes(), &c) == nil:
		return c, true
	case text.Len() == longestCheck:
		return unchecked(root, "it has too many obstacles"), true
	case errors.Len() == 0 && err != nil:
		return unchecked(root, err.Error()), true
	}
	return unchecked(root, firstLine(errors.String())), true
}

// A bounded buffer keeps the first longestCheck bytes that are written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), longestCheck-b.Len())])
	return len(p), nil
}

// unchecked is the result for a group for which there is no result of crak check.
func unchecked(root int, why string) checked {
	return checked{Obstacles: obstacle.List{{Pid: root, What: "it cannot be checked", Why: why,
		Do: fmt.Sprintf("crak check %d takes as long as it needs, and lists every obstacle", root)}}}
}

// firstLine is the first line of what a crak has said on stderr, without its name.
func firstLine(said string) string {
	line, _, _ := bytes.Cut([]byte(said), []byte("\n"))
	return string(bytes.TrimPrefix(line, []byte("crak: ")))
}

func printListed(w io.Writer, list *processList) error {
	t := &table{w: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	t.row("PID\tPARENT\tGROUP\tTHREADS\tMEMORY\tIMAGE\tPROGRAM\tCHECKPOINT\n")
	for i := range list.Processes {
		p := &list.Processes[i]
		t.row("%d\t%d\t%s\t%d\t%s\t%s\t%s\t%s\n", p.Pid, p.Parent, p.groupText(), p.Threads, bytesText(p.Memory), p.Image.age(), p.Program, p.verdict())
	}
	return t.w.Flush()
}

// groupText is the name of the group, or the PID of its root.
func (p *listedProcess) groupText() string {
	if p.Group != "" {
		return p.Group
	}
	return strconv.Itoa(p.Root)
}

// verdict says whether a checkpoint of the group would work, and if not, why this process prevents it.
func (p *listedProcess) verdict() string {
	switch {
	case p.OK:
		return "yes"
	case len(p.Obstacles) == 0:
		return "no: see the other processes"
	}
	o := p.Obstacles[0]
	text := "no: "
	if o.Where != "" {
		text += o.Where + ": "
	}
	text += o.What + ": " + o.Why
	if n := len(p.Obstacles) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// imageBrief is the newest image of a process.
type imageBrief struct {
	Path    string    `json:"path"`
	Created time.Time `json:"created"`
}

// age is how old the image is.
func (b *imageBrief) age() string {
	if b == nil {
		return "-"
	}
	d := time.Since(b.Created)
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

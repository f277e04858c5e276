package main

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/sysname"
)

// inspectText prints an image for people.
func inspectText(out io.Writer, img *image.Image) error {
	b := bufio.NewWriter(out)
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	printManifest(w, img)
	for i := range img.Group.Processes {
		if err := printProcess(w, img, &img.Group.Processes[i]); err != nil {
			return err
		}
	}
	printMemory(w, img)
	if err := w.Flush(); err != nil {
		return err
	}
	return b.Flush()
}

func printManifest(w io.Writer, img *image.Image) {
	m, t := img.Manifest, img.Totals("")
	fmt.Fprintf(w, "image\t%s\n", img.Path)
	fmt.Fprintf(w, "program\t%s (pid %d)\n", m.Program, m.Root)
	fmt.Fprintf(w, "created\t%s by crak %s on %s\n", m.Created.Local().Format(time.DateTime+" -0700"), m.Crak, m.Host.Hostname)
	fmt.Fprintf(w, "kernel\tLinux %s %s\n", m.Host.Kernel, m.Host.Machine)
	fmt.Fprintf(w, "size\t%s stored of %s, in %d frames%s\n", bytesText(t.Stored), bytesText(t.Raw), t.Frames, optionsText(m.Options))
	fmt.Fprintf(w, "pause\t%v, %v until it was on disk\n", roundDuration(m.Statistics.PauseNs), roundDuration(m.Statistics.TotalNs))
}

func optionsText(o image.SaveOptions) string {
	var text string
	if o.Compress {
		text += ", compressed"
	}
	if o.SelfContained {
		text += ", self-contained"
	}
	return text
}

func printProcess(w io.Writer, img *image.Image, p *image.Process) error {
	fmt.Fprintf(w, "\nprocess %d\t%s\n", p.Pid, filepath.Base(p.Executable.Path))
	fmt.Fprintf(w, "  executable\t%s\n", p.Executable.Path)
	fmt.Fprintf(w, "  directory\t%s\n", p.Cwd)
	fmt.Fprintf(w, "  parent\t%d, process group %d, session %d\n", p.Parent, p.ProcessGroup, p.Session)
	if len(p.Threads) > 0 {
		c := p.Threads[0].Credentials
		fmt.Fprintf(w, "  ids\tuid %d, gid %d\n", c.UID[1], c.GID[1])
	}
	printSignals(w, p)
	printTimers(w, p)
	printThreads(w, p)
	if err := printMappings(w, img, p); err != nil {
		return err
	}
	printDescriptors(w, img.Group, p)
	return nil
}

func printThreads(w io.Writer, p *image.Process) {
	fmt.Fprintf(w, "\n  threads\t%d\n", len(p.Threads))
	for _, t := range p.Threads {
		doing := fmt.Sprintf("running at %#x", t.Parked.IP)
		if t.Parked.Syscall >= 0 {
			doing = "in " + sysname.Of(t.Parked.Syscall)
		}
		pending := ""
		if len(t.Pending) > 0 {
			pending = fmt.Sprintf(", %d signals pending", len(t.Pending))
		}
		fmt.Fprintf(w, "    %d\t%s\t%s%s\n", t.Parked.Tid, t.Comm, doing, pending)
	}
}

func printMappings(w io.Writer, img *image.Image, p *image.Process) error {
	saved, err := savedBytes(img, p)
	if err != nil {
		return err
	}
	var size, sum uint64
	for i, m := range p.Mappings {
		size += uint64(m.End - m.Start)
		sum += saved[i]
	}
	fmt.Fprintf(w, "\n  mappings\t%d, %s, of which saved %s\n", len(p.Mappings), bytesText(size), bytesText(sum))
	for i, m := range p.Mappings {
		what := m.Name
		switch {
		case m.File != nil:
			what = m.File.Path
		case m.Memory != 0:
			what = fmt.Sprintf("memory %d", m.Memory)
		}
		fmt.Fprintf(w, "    %x-%x\t%s\t%s\t%s\n", uint64(m.Start), uint64(m.End), protectionText(m), bytesText(saved[i]), what)
	}
	return nil
}

// protectionText is as /proc/PID/maps has it.
func protectionText(m image.Mapping) string {
	text := []byte("---p")
	for i, bit := range []uint32{unix.PROT_READ, unix.PROT_WRITE, unix.PROT_EXEC} {
		if m.Prot&bit != 0 {
			text[i] = "rwx"[i]
		}
	}
	if m.Shared {
		text[3] = 's'
	}
	return string(text)
}

func printDescriptors(w io.Writer, g *image.Group, p *image.Process) {
	fmt.Fprintf(w, "\n  descriptors\t%d\n", len(p.Descriptors))
	byID := make(map[image.DescriptionID]image.Description)
	for _, d := range g.Descriptions {
		byID[d.ID] = d
	}
	for _, d := range p.Descriptors {
		of := byID[d.Description]
		var notes []string
		if of.Offset != 0 {
			notes = append(notes, fmt.Sprintf("at %d", of.Offset))
		}
		for _, l := range of.Locks {
			notes = append(notes, l.Type+" lock")
		}
		if d.CloseOnExec {
			notes = append(notes, "close-on-exec")
		}
		fmt.Fprintf(w, "    %d\t%s\t%s\t%s\n", d.Fd, accessText(of.Flags), fd.Describe(of), strings.Join(notes, ", "))
	}
}

func accessText(flags uint32) string {
	text := [...]string{"read", "write", "read-write", "none"}[flags&unix.O_ACCMODE]
	for _, f := range []struct {
		bit  uint32
		name string
	}{{unix.O_PATH, "path"}, {unix.O_APPEND, "append"}, {unix.O_NONBLOCK, "nonblock"}, {unix.O_DIRECT, "direct"}} {
		if flags&f.bit != 0 {
			text += "," + f.name
		}
	}
	return text
}

func printSignals(w io.Writer, p *image.Process) {
	var handled, ignored []string
	for i, a := range p.Actions {
		name := signalText(i + 1)
		switch a.Handler {
		case 0:
		case 1:
			ignored = append(ignored, name)
		default:
			handled = append(handled, name)
		}
	}
	fmt.Fprintf(w, "  signals\thandled: %s; ignored: %s; pending: %d\n", listText(handled), listText(ignored), len(p.Pending))
}

func signalText(n int) string {
	if name := unix.SignalName(unix.Signal(n)); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return fmt.Sprint(n)
}

func listText(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, " ")
}

func printTimers(w io.Writer, p *image.Process) {
	for i, name := range []string{"real", "virtual", "profiling"} {
		if t := p.Intervals[i]; t.ValueUs != 0 {
			fmt.Fprintf(w, "  %s timer\t%v left, every %v\n", name, time.Duration(t.ValueUs)*time.Microsecond, time.Duration(t.IntervalUs)*time.Microsecond)
		}
	}
	for _, t := range p.Timers {
		fmt.Fprintf(w, "  timer %d\t%v left, every %v, signal %s\n", t.ID, time.Duration(t.ValueNs), time.Duration(t.IntervalNs), signalText(int(t.Signal)))
	}
}

func printMemory(w io.Writer, img *image.Image) {
	if len(img.Group.Memory) == 0 {
		return
	}
	fmt.Fprintf(w, "\nshared memory\t%d\n", len(img.Group.Memory))
	for _, m := range img.Group.Memory {
		fmt.Fprintf(w, "  %d\t%s\t%s, saved %s\t%s\n", m.ID, m.Kind, bytesText(m.Size), bytesText(img.Totals(image.MemorySpace(m.ID)).Raw), m.Name)
	}
}

// bytesText is a size for people: "0 B", "512 B", "3.4 MiB".
func bytesText(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 1<<10 && unit < 4 {
		value /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[unit])
}

func roundDuration(ns int64) time.Duration {
	d := time.Duration(ns)
	if d > time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

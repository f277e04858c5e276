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

	"crak.dev/crak/image"
	"crak.dev/crak/internal/sysname"
)

// inspectText prints the content of an image as text.
func inspectText(out io.Writer, img *image.Image) error {
	b := bufio.NewWriter(out)
	w := &table{w: tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)}
	printManifest(w, img)
	printTree(w, img.Group)
	saved, err := savedBytes(img)
	if err != nil {
		return err
	}
	descriptions := make(map[image.DescriptionID]image.Description)
	for _, d := range img.Group.Descriptions {
		descriptions[d.ID] = d
	}
	referred := referredTo(img.Group)
	for i := range img.Group.Processes {
		p := &img.Group.Processes[i]
		printProcess(w, p)
		printMappings(w, p, saved[p.Pid])
		printDescriptors(w, descriptions, referred, p)
	}
	printQueued(w, img.Group)
	printObjects(w, img.Group)
	printMemory(w, img)
	printSysV(w, img.Group)
	if err := w.w.Flush(); err != nil {
		return err
	}
	return b.Flush()
}

func printManifest(w *table, img *image.Image) {
	m, t := img.Manifest, img.Totals("")
	w.row("image\t%s\n", img.Path)
	w.row("program\t%s (pid %d)\n", m.Program, m.Root)
	w.row("created\t%s by crak %s on %s\n", m.Created.Local().Format(time.DateTime+" -0700"), m.Crak, m.Host.Hostname)
	w.row("kernel\tLinux %s %s\n", m.Host.Kernel, m.Host.Machine)
	w.row("size\t%s stored of %s, in %d frames%s%s\n", bytesText(t.Stored), bytesText(t.Raw), t.Frames, sameText(t.Same), optionsText(m.Options))
	w.row("pause\t%v, %v until it was on disk\n", roundDuration(m.Statistics.PauseNs), roundDuration(m.Statistics.TotalNs))
}

// sameText says how much of the content is stored only once for several processes.
func sameText(same uint64) string {
	if same == 0 {
		return ""
	}
	return ", " + bytesText(same) + " the same as in another process"
}

func optionsText(o image.SaveOptions) string {
	var text string
	if o.Compress {
		text += ", compressed"
	}
	if o.SelfContained {
		text += ", self-contained"
	}
	if o.WithFiles {
		text += ", with files"
	}
	return text
}

func printProcess(w *table, p *image.Process) {
	w.row("\nprocess %d\t%s\n", p.Pid, filepath.Base(p.Executable.Path))
	w.row("  executable\t%s\n", p.Executable.Path)
	w.row("  directory\t%s\n", p.Cwd)
	w.row("  parent\t%d, process group %d, session %d\n", p.Parent, p.ProcessGroup, p.Session)
	if len(p.Threads) > 0 {
		c := p.Threads[0].Credentials
		w.row("  ids\tuid %d, gid %d\n", c.UID[1], c.GID[1])
	}
	printSignals(w, p)
	printTimers(w, p)
	printThreads(w, p)
}

func printThreads(w *table, p *image.Process) {
	w.row("\n  threads\t%d\n", len(p.Threads))
	for _, t := range p.Threads {
		doing := fmt.Sprintf("running at %#x", t.Parked.IP)
		if t.Parked.Syscall >= 0 {
			doing = "in " + sysname.Of(t.Parked.Syscall)
		}
		pending := ""
		if len(t.Pending) > 0 {
			pending = fmt.Sprintf(", %d signals pending", len(t.Pending))
		}
		w.row("    %d\t%s\t%s%s\n", t.Parked.Tid, t.Comm, doing, pending)
	}
}

func printMappings(w *table, p *image.Process, saved []uint64) {
	var size, sum uint64
	for i, m := range p.Mappings {
		size += uint64(m.End - m.Start)
		sum += saved[i]
	}
	w.row("\n  mappings\t%d, %s, of which saved %s\n", len(p.Mappings), bytesText(size), bytesText(sum))
	for i, m := range p.Mappings {
		what := m.Name
		switch {
		case m.File != nil:
			what = m.File.Path
		case m.Memory != 0:
			what = fmt.Sprintf("memory %d", m.Memory)
		}
		w.row("    %x-%x\t%s\t%s\t%s\n", uint64(m.Start), uint64(m.End), protectionText(m), bytesText(saved[i]), what)
	}
}

// protectionText formats a protection as /proc/PID/maps does.
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

func printSignals(w *table, p *image.Process) {
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
	w.row("  signals\thandled: %s; ignored: %s; pending: %d\n", listText(handled), listText(ignored), len(p.Pending))
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

func printTimers(w *table, p *image.Process) {
	for i, name := range []string{"real", "virtual", "profiling"} {
		if t := p.Intervals[i]; t.ValueUs != 0 {
			w.row("  %s timer\t%v left, every %v\n", name, time.Duration(t.ValueUs)*time.Microsecond,
				time.Duration(t.IntervalUs)*time.Microsecond)
		}
	}
	for _, t := range p.Timers {
		w.row("  timer %d\t%v left, every %v, signal %s\n", t.ID, time.Duration(t.ValueNs), time.Duration(t.IntervalNs),
			signalText(int(t.Signal)))
	}
}

func printMemory(w *table, img *image.Image) {
	if len(img.Group.Memory) == 0 {
		return
	}
	w.row("\nshared memory\t%d\n", len(img.Group.Memory))
	for _, m := range img.Group.Memory {
		w.row("  %d\t%s\t%s, saved %s\t%s\n", m.ID, m.Kind, bytesText(m.Size), bytesText(img.Totals(image.MemorySpace(m.ID)).Raw), m.Name)
	}
}

func printSysV(w *table, g *image.Group) {
	if len(g.Semaphores)+len(g.Queues) == 0 {
		return
	}
	w.row("\nSystem V\t%d\n", len(g.Semaphores)+len(g.Queues))
	for _, s := range g.Semaphores {
		w.row("  semaphore set %d\tkey %#x\t%d semaphores, %d adjustments of processes\n", s.SysV.ID, uint32(s.SysV.Key), len(s.Values), len(s.Undo))
	}
	for _, q := range g.Queues {
		w.row("  message queue %d\tkey %#x\t%d messages\n", q.SysV.ID, uint32(q.SysV.Key), len(q.Messages))
	}
}

// bytesText formats a size: "0 B", "512 B", "3.4 MiB".
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

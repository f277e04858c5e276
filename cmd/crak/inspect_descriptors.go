package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// referredTo returns the descriptions to which others, or objects, refer.
func referredTo(g *image.Group) map[image.DescriptionID]bool {
	all := make(map[image.DescriptionID]bool)
	add := func(r fd.References) {
		for _, id := range r.Descriptions {
			all[id] = true
		}
	}
	for _, d := range g.Descriptions {
		add(fd.Refers(d))
	}
	for _, o := range g.Objects {
		add(fd.RefersObject(o))
	}
	return all
}

func printDescriptors(w *table, descriptions map[image.DescriptionID]image.Description, referred map[image.DescriptionID]bool, p *image.Process) {
	w.row("\n  descriptors\t%d\n", len(p.Descriptors))
	for _, d := range p.Descriptors {
		of := descriptions[d.Description]
		var notes []string
		if referred[of.ID] {
			notes = append(notes, fmt.Sprintf("description %d", of.ID))
		}
		if of.Offset != 0 {
			notes = append(notes, fmt.Sprintf("at %d", of.Offset))
		}
		for _, l := range of.Locks {
			notes = append(notes, l.Type+" lock")
		}
		if d.CloseOnExec {
			notes = append(notes, "close-on-exec")
		}
		notes = append(notes, refersText(fd.Refers(of))...)
		w.row("    %d\t%s\t%s\t%s\t%s\n", d.Fd, accessText(of.Flags), of.Kind, fd.Describe(of), strings.Join(notes, ", "))
	}
}

// refersText says which descriptions and processes something refers to.
func refersText(r fd.References) (all []string) {
	for _, id := range r.Descriptions {
		all = append(all, fmt.Sprintf("refers to description %d", id))
	}
	for _, pid := range r.Processes {
		all = append(all, fmt.Sprintf("refers to %d", pid))
	}
	return all
}

// printQueued prints the descriptions that no process has: they are in the queues of sockets.
func printQueued(w *table, g *image.Group) {
	held := make(map[image.DescriptionID]bool)
	for i := range g.Processes {
		for _, d := range g.Processes[i].Descriptors {
			held[d.Description] = true
		}
	}
	first := true
	for _, d := range g.Descriptions {
		if held[d.ID] {
			continue
		}
		if first {
			w.row("\ndescriptions that no process has\n")
			first = false
		}
		w.row("  %d\t%s\t%s\t%s\n", d.ID, accessText(d.Flags), fd.Describe(d), strings.Join(refersText(fd.Refers(d)), ", "))
	}
}

func printObjects(w *table, g *image.Group) {
	if len(g.Objects) == 0 {
		return
	}
	w.row("\nobjects\t%d\n", len(g.Objects))
	for _, o := range g.Objects {
		w.row("  %d\t%s\t%s\t%s\t%s\n", o.ID, o.Kind, bytesText(o.Size), fd.DescribeObject(o), strings.Join(refersText(fd.RefersObject(o)), ", "))
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

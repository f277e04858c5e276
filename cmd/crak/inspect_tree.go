package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A treeNode is a process of an image, or a zombie.
type treeNode struct {
	pid, parent image.Pid
	name        string
	state       string
	printed     bool
}

// printTree prints who descends from whom, if the image has more than one process.
func printTree(w *table, g *image.Group) {
	nodes := treeNodes(g)
	if len(nodes) < 2 {
		return
	}
	children := make(map[image.Pid][]*treeNode)
	members := make(map[image.Pid]bool)
	for _, n := range nodes {
		members[n.pid] = true
	}
	for _, n := range nodes {
		children[n.parent] = append(children[n.parent], n)
	}
	w.row("\nprocesses\t%d\n", len(nodes))
	for _, n := range nodes {
		if !members[n.parent] {
			n.print(w, children, 0)
		}
	}
}

// print prints a node and its descendants. An image from somebody else may have a cycle: no node is printed twice.
func (n *treeNode) print(w *table, children map[image.Pid][]*treeNode, depth int) {
	const deepest = 40 // indentation keeps the output in proportion to the image
	if n.printed {
		return
	}
	n.printed = true
	w.row("  %d\t%s\t%s\n", n.pid, strings.Repeat("  ", min(depth, deepest))+n.name, n.state)
	for _, child := range children[n.pid] {
		child.print(w, children, depth+1)
	}
}

// treeNodes lists the processes and zombies by PID.
func treeNodes(g *image.Group) []*treeNode {
	var nodes []*treeNode
	for i := range g.Processes {
		p := &g.Processes[i]
		n := &treeNode{pid: p.Pid, parent: p.Parent, name: p.Threads[0].Comm, state: count(len(p.Threads), "thread")}
		if p.StoppedBy != 0 {
			n.state += ", stopped by " + signalText(p.StoppedBy)
		}
		nodes = append(nodes, n)
	}
	for i := range g.Zombies {
		z := &g.Zombies[i]
		nodes = append(nodes, &treeNode{pid: z.Pid, parent: z.Parent, name: z.Comm, state: "has ended: " + statusText(unix.WaitStatus(z.Status))})
	}
	slices.SortFunc(nodes, func(a, b *treeNode) int { return cmp.Compare(a.pid, b.pid) })
	return nodes
}

// statusText says how a process has ended.
func statusText(s unix.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + signalText(int(s.Signal()))
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

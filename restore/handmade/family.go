package handmade

import (
	"fmt"
	"strconv"
	"strings"

	"crak.dev/crak/image"
)

// Family is a group of such processes with the same owner, the root first. Each line describes one:
//
//	name  parent  session  process group  [option …]
//
// Names are letters from A to J: A has the PID first, B the next, and so on. A name without a line is a process outside the group,
// or a leader that has ended. Options: subreaper, stopped, signal=N (the exit signal), death=N (the parent-death signal), exit=N (a
// zombie with this wait status).
func Family(first image.Pid, owner image.Credentials, lines string) (*image.Group, error) {
	g := &image.Group{Descriptions: []image.Description{}}
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := addLine(g, first, owner, strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
	}
	g.Root = g.Processes[0].Pid
	return g, nil
}

// Number is the PID of a name.
func Number(first image.Pid, name string) image.Pid { return first + image.Pid(name[0]-'A') }

func addLine(g *image.Group, first image.Pid, owner image.Credentials, fields []string) error {
	if len(fields) < 4 {
		return fmt.Errorf("%d fields", len(fields))
	}
	var numbers [4]image.Pid
	for i := range numbers {
		numbers[i] = Number(first, fields[i])
	}
	p := Group(numbers[0], owner).Processes[0]
	p.Parent, p.Session, p.ProcessGroup, p.ExitSignal = numbers[1], numbers[2], numbers[3], 17
	for _, s := range []int{10, 17} { // so that such a signal is not dropped, but stays pending
		p.Actions[s-1].Handler = CodeAt
	}
	for _, option := range fields[4:] {
		name, value, _ := strings.Cut(option, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "subreaper":
			p.Attributes.ChildSubreaper = true
		case "stopped":
			p.StoppedBy = 19
		case "death":
			p.Threads[0].Parked.DeathSignal = int32(n)
		case "signal":
			p.ExitSignal = n
		case "exit":
			g.Zombies = append(g.Zombies, image.Zombie{Pid: p.Pid, Parent: p.Parent, Session: p.Session, ProcessGroup: p.ProcessGroup,
				ExitSignal: p.ExitSignal, Comm: "ended", Status: uint32(n), UID: owner.UID[0]})
			return nil
		default:
			return fmt.Errorf("unknown option %q", option)
		}
	}
	g.Processes = append(g.Processes, p)
	return nil
}

// Families are groups of processes with relations that a restart makes in different ways.
var Families = map[string]string{
	"chain": `
		A J J I
		B A J I
		C B J I
		D C J I`,
	"wide": `
		A J J I
		B A J B
		C A J B
		D A D D
		E D D E
		F A J I signal=0`,
	"orphan": `
		A J A A
		B J A A
		C A A A
		D J A C`,
	"orphan_outside": `
		A J J I
		B J J I
		C J J C`,
	"orphan_deep": `
		A J A A subreaper
		B A A A
		C B C C
		D A C C
		E A A E`,
	"dead_session": `
		A J A A
		B J G G
		C B G G
		D J G H
		E A E E`,
	"dead_group": `
		A J J I
		B A J G
		C B J G
		D A J D`,
	"left_group": `
		A J J I
		B A J I
		C B J B`,
	"before_session": `
		A J J I
		B A B B
		C B J I
		D B B B`,
	"zombie": `
		A J A A
		B A A A exit=768
		C A A C exit=9
		D A A C signal=10 exit=6
		E A E E
		F E E E exit=0`,
	"zombie_leader": `
		A J A A
		B A B B exit=0
		C A B B
		D A B B`,
	"stopped": `
		A J A A
		B A A A stopped
		C B A C
		D A A D stopped
		E A A A exit=256`,
	"death_signal": `
		A J A A
		B A A A
		C B A A death=9
		D J A A death=9
		E B A A`,
	"subreaper": `
		A J A A
		B A A A subreaper
		C B G G
		D C G G
		E B G G`,
}

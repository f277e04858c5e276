package fd

import (
	"slices"
	"strconv"
	"strings"

	"crak.dev/crak/image"
)

// An Outcome says what becomes of a descriptor: in a checkpoint, or in a restart with the choices of the user.
type Outcome struct {
	Pid     int    `json:"pid"`
	Fd      int    `json:"fd"`
	Kind    string `json:"kind,omitempty"`
	On      string `json:"on,omitempty"` // what it is open on
	Outcome string `json:"outcome"`
}

// Before has the descriptors of a group before the choices of the user were applied.
type Before struct {
	of           map[image.DescriptionID]image.Description
	descriptions map[image.Pid][]image.Descriptor
}

// Remember returns what the descriptors of a group are. Call it before Overrides.Apply.
func Remember(g *image.Group) *Before {
	b := &Before{make(map[image.DescriptionID]image.Description), make(map[image.Pid][]image.Descriptor)}
	for _, d := range g.Descriptions {
		b.of[d.ID] = d
	}
	for i := range g.Processes {
		b.descriptions[g.Processes[i].Pid] = slices.Clone(g.Processes[i].Descriptors)
	}
	return b
}

// Outcomes says what becomes of each descriptor in a restart. g is the group after the choices of the user were applied.
func (b *Before) Outcomes(g *image.Group, env *Env) []Outcome {
	env.Know(g)
	now := make(map[image.DescriptionID]image.Description)
	for _, d := range g.Descriptions {
		now[d.ID] = d
	}
	var all []Outcome
	for i := range g.Processes {
		p := &g.Processes[i]
		after := make(map[int]image.DescriptionID)
		for _, d := range p.Descriptors {
			after[d.Fd] = d.Description
		}
		for _, d := range b.descriptions[p.Pid] {
			was := b.of[d.Description]
			one := Outcome{Pid: int(p.Pid), Fd: d.Fd, Kind: was.Kind, On: Describe(was)}
			id, there := after[d.Fd]
			switch {
			case !there:
				one.Outcome = "left out (--fd)"
			case id != d.Description:
				one.Outcome = Describe(now[id]) + " in its place (--fd)"
			default:
				one.Outcome = env.outcome(now[id])
			}
			all = append(all, one)
		}
	}
	return all
}

// outcome is what becomes of a description.
func (e *Env) outcome(d image.Description) string {
	notices, old, told := []string(nil), e.Notice, e.told
	e.Notice, e.told = func(text string) { notices = append(notices, text) }, nil
	defer func() { e.Notice, e.told = old, told }()
	without := func(text string) string { return strings.TrimPrefix(text, Describe(d)+": ") }
	if list := Check(d, e); len(list) > 0 {
		return "refused: " + list[0].Why
	}
	if len(notices) > 0 {
		return without(strings.Join(notices, "; "))
	}
	return "comes back"
}

// Surveyed says what becomes of the descriptors of a process in a checkpoint. numbers are all that the process has open.
func (t *Table) Surveyed(pid int, numbers []int, recorded []image.Descriptor) []Outcome {
	of := make(map[int]image.DescriptionID)
	for _, d := range recorded {
		of[d.Fd] = d.Description
	}
	var all []Outcome
	for _, n := range numbers {
		one := Outcome{Pid: pid, Fd: n, Outcome: "left out (--fd)"}
		if id := of[n]; id > 0 && int(id) <= len(t.Descriptions) {
			d := t.Descriptions[id-1]
			one.Kind, one.On, one.Outcome = d.Kind, Describe(d), "is saved"
		}
		for _, o := range t.Obstacles {
			if o.Pid == pid && o.Where == "fd "+strconv.Itoa(n) {
				one.On, one.Outcome = o.What, "refused: "+o.Why
			}
		}
		all = append(all, one)
	}
	return all
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// Row is one comparison. Reference and Ratio are 0 if there is nothing to compare with.
type Row struct {
	What      string  `json:"what"`
	Unit      string  `json:"unit"`
	Ours      float64 `json:"ours"`
	Against   string  `json:"against,omitempty"` // what Reference is
	Reference float64 `json:"reference,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`
	Target    string  `json:"target,omitempty"`
	Met       *bool   `json:"met,omitempty"`   // absent: no target
	Fault     string  `json:"fault,omitempty"` // why there are no numbers
}

// Report is the result of a run, with the machine it ran on.
type Report struct {
	Kernel string `json:"kernel"`
	CPUs   int    `json:"cpus"`
	Root   bool   `json:"root"`
	Rows   []Row  `json:"rows"`
}

// add appends a row; ok is whether the target was reached.
func (r *Report) add(row Row, ok bool) {
	if row.Reference != 0 {
		row.Ratio = row.Ours / row.Reference
	}
	if row.Target != "" {
		row.Met = &ok
	}
	r.Rows = append(r.Rows, row)
}

func (r *Report) fault(what string, err error) {
	r.Rows = append(r.Rows, Row{What: what, Fault: err.Error()})
}

func (r *Report) print(out io.Writer) {
	r.describe()
	fmt.Fprintf(out, "Linux %s, %d CPUs, %s\n\n", r.Kernel, r.CPUs, map[bool]string{true: "root", false: "ordinary user"}[r.Root])
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tours\tcompared with\t\tratio\ttarget\t")
	for _, row := range r.Rows {
		if row.Fault != "" {
			fmt.Fprintf(w, "%s\t-\t%s\t\t\t\t\n", row.What, row.Fault)
			continue
		}
		reference, ratio, met := "", "", ""
		if row.Reference != 0 {
			reference, ratio = number(row.Reference, row.Unit), fmt.Sprintf("%.2f", row.Ratio)
		}
		if row.Met != nil {
			met = map[bool]string{true: "reached", false: "MISSED"}[*row.Met]
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.What, number(row.Ours, row.Unit), row.Against, reference, ratio, row.Target, met)
	}
	w.Flush()
}

func (r *Report) describe() {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	r.CPUs = runtime.NumCPU()
	r.Root = os.Geteuid() == 0
}

func (r *Report) save(path string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func number(v float64, unit string) string {
	switch {
	case unit == "":
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.0f %s", v, unit)
	case v >= 1:
		return fmt.Sprintf("%.2f %s", v, unit)
	}
	return fmt.Sprintf("%.3f %s", v, unit)
}

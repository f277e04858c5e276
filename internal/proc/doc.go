// Package proc reads what Linux says of a process under /proc (proc(5)).
//
// In a nutshell:
//
//	ms, err := proc.Read(412, "maps", proc.Maps)          // any parser, any pid
//	st, err := proc.Read(412, "task/413/status", proc.Status)
//	tids, err := proc.Tasks(412)
//	pm, err := proc.OpenPagemap(412)
//	rs, err := pm.Pages(m.Start, m.End, proc.Anonymous)   // what must be saved of a mapping
//
// Each parser takes an io.Reader and nothing else, so that it can be tested on samples and
// used on saved pictures of a process. A line that cannot be understood is an error with the
// file, the line's number and its text; fields that are absent, because the kernel is older
// or has them left out, keep their zero value unless they are needed to make sense of the rest.
//
// Units: addresses and sizes are bytes (/proc's kB are multiplied out), times are clock ticks
// where the kernel gives ticks. Signal sets have bit n-1 for signal n.
//
// It does not interpret: what may be restored, and how, is for others to say.
package proc

// Package proc reads the files of a process under /proc (proc(5)).
//
// In a nutshell:
//
//	ms, err := proc.Read(412, "maps", proc.Maps)          // any parser, any pid
//	st, err := proc.Read(412, "task/413/status", proc.Status)
//	tids, err := proc.Tasks(412)
//	pm, err := proc.OpenPagemap(412)
//	rs, err := pm.Pages(m.Start, m.End, proc.Anonymous)   // the pages of a mapping that must be saved
//
// Each parser takes only an io.Reader, so that it can be tested on samples and used on saved files. A malformed line is an
// error that names the file, the number of the line and its text. A field that is absent, because the kernel is older or
// was configured without it, keeps its zero value, unless the other fields make no sense without it.
//
// Units: addresses and sizes are in bytes (kB are converted). Times are in clock ticks where the kernel uses ticks. Signal sets
// have bit n-1 for signal n.
//
// The package does not decide what can be restored, or how.
package proc

// Package signals chooses the signals that crak handles.
package signals

import (
	"os"
	"os/signal"
	"slices"
)

// NotIgnored returns those signals that crak was not started to ignore, as by nohup(1) or by the & of a shell. Package os/signal would handle
// these, too. The runtime knows it of SIGHUP and SIGINT only.
func NotIgnored(all ...os.Signal) []os.Signal { return slices.DeleteFunc(all, signal.Ignored) }

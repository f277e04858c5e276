package proc

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// Each parser must return without a panic, whatever the input. The seeds are the files of the test's own process.

func FuzzMaps(f *testing.F)      { fuzz(f, "maps", Maps) }
func FuzzSmaps(f *testing.F)     { fuzz(f, "smaps", Smaps) }
func FuzzStatus(f *testing.F)    { fuzz(f, "status", Status) }
func FuzzStat(f *testing.F)      { fuzz(f, "stat", Stat) }
func FuzzFdinfo(f *testing.F)    { fuzz(f, "fdinfo/0", Fdinfo) }
func FuzzTimers(f *testing.F)    { fuzz(f, "timers", Timers) }
func FuzzSyscall(f *testing.F)   { fuzz(f, "syscall", Syscall) }
func FuzzMountinfo(f *testing.F) { fuzz(f, "mountinfo", Mountinfo) }

func fuzz[T any](f *testing.F, name string, parse func(io.Reader) (T, error)) {
	if data, err := os.ReadFile(Path(0, name)); err == nil {
		f.Add(data)
	}
	f.Add([]byte("lock:\t1: -> OFDLCK ADVISORY  READ 7 fe:00:9977941 0 EOF\n"))
	f.Add([]byte("ID: 1\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parse(bytes.NewReader(data))
	})
}

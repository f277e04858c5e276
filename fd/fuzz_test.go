package fd_test

import (
	"encoding/json"
	"testing"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// FuzzRecord checks descriptions of a hostile image: Check and Describe do not panic and open nothing.
func FuzzRecord(f *testing.F) {
	for _, seed := range []struct{ kind, record string }{
		{"regular", `{"file":{"path":"/etc/passwd","inode":1,"size":5,"mode":33188}}`},
		{"regular", `{"file":{"path":"/tmp/x","deleted":true},"memory":1}`},
		{"directory", `{"file":{"path":"/tmp"}}`},
		{"path", `{"file":{"path":"/tmp"}}`},
		{"special", `{"file":{"path":"/proc/meminfo"}}`},
		{"device", `{"path":"/dev/null","minor":3}`},
		{"terminal", `{"path":"/dev/pts/0","standard":1,"modes":{"termios":"AAAA"}}`},
		{"pipe", `{"standard":9}`},
		{"memfd", `{"memory":-1}`},
		{"pidfd", `{"pid":412}`},
		{"pidfd", `{"status":9,"same":2}`},
		{"inet_socket", `{"family":2,"type":2,"protocol":17,"local":"127.0.0.1:53","options":{"ip_ttl":[1]},"filter":[[6,0,0,0]]}`},
		{"inet_socket", `{"family":10,"type":3,"protocol":58,"peer":"[fe80::1%lo]:1","groups":[{"address":"ff02::1","interface":"lo"}]}`},
	} {
		f.Add(seed.kind, seed.record, uint32(0), int64(0))
	}
	f.Fuzz(func(t *testing.T, kind, text string, flags uint32, offset int64) {
		d := image.Description{ID: 1, Kind: kind, Flags: flags, Offset: offset, Record: json.RawMessage(text)}
		for _, env := range []*fd.Env{{}, {Force: true}, {Files: fd.Strict}} {
			fd.Check(d, env)
		}
		fd.Describe(d)
		for _, object := range []string{"unix_socket", "inet_socket"} {
			fd.CheckReferences(&image.Group{Objects: []image.Object{{ID: 1, Kind: object, Record: json.RawMessage(text)}}})
		}
		fd.TerminalOf(&image.Group{Descriptions: []image.Description{d}})
	})
}

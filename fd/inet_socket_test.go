package fd_test

import (
	"encoding/json"
	"strings"
	"testing"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestInetRecords checks that damaged records of sockets are errors, and make no socket.
func TestInetRecords(t *testing.T) {
	for _, text := range []string{
		`{"family":1,"type":2,"protocol":0}`,
		`{"family":2,"type":1,"protocol":6}`,
		`{"family":2,"type":2,"protocol":-1}`,
		`{"family":2,"type":2,"protocol":17,"local":"[::1]:5"}`,
		`{"family":2,"type":2,"protocol":17,"local":"nonsense"}`,
		`{"family":10,"type":2,"protocol":17,"local":"[fe80::1%nowhere]:5"}`,
		`{"family":2,"type":2,"protocol":17,"messages":[{"size":-1,"from":"127.0.0.1:5"}]}`,
		`{"family":2,"type":2,"protocol":17,"messages":[{"size":10,"from":"127.0.0.1:5"}]}`,
		`{"family":2,"type":2,"protocol":17,"messages":[{"size":0,"from":"[::1]:5"}]}`,
		`{"family":2,"type":2,"protocol":17,"options":{"ip_ttl":[1,2]}}`,
		`{"family":2,"type":2,"protocol":17,"options":{"unknown":[1]}}`,
		`{"family":2,"type":2,"protocol":17,"interfaces":{"unknown":"lo"}}`,
		`{"family":2,"type":2,"protocol":17,"device":"` + strings.Repeat("x", 20) + `"}`,
		`{"family":2,"type":2,"protocol":17,"groups":[{"address":"1.2.3.4","interface":"lo"}]}`,
		`{"family":2,"type":2,"protocol":17,"filter":[[70000,0,0,0]]}`,
		`{"family":2,"type":2,"protocol":17,"unknown":1}`,
	} {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "inet_socket", Record: json.RawMessage(text)}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "inet_socket", Object: 1}, env)
		env.Close()
		if err == nil {
			f.Close()
			t.Errorf("%s: made", text)
		}
	}
}

package fd_test

import (
	"encoding/json"
	"strings"
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
		{"path", `{"file":{"path":"/tmp/x","deleted":true,"mode":16877},"attributes":{"uid":1,"gid":1,"accessed_ns":0}}`},
		{"special", `{"file":{"path":"/proc/412/stat"},"process":412}`},
		{"mqueue", `{"notify":{"process":412,"signal":10,"value":7}}`},
		{"mqueue", `{"notify":{"process":412,"how":2,"cookie":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","socket":2}}`},
		{"mqueue", `{}`}, {"mqueue", `{"name":"x","messages":1,"size":1,"mode":384,"waiting":[{"size":0,"priority":3}]}`},
		{"namespace", `{"name":"pid_for_children"}`},
		{"pty_master", `{}`},
		{"pty_slave", `{"hung_up":true,"number":4294967295}`},
		{"pty_slave", `{"dev_tty":true}`},
		{"pidfd", `{"pid":412}`},
		{"inotify", `{"watches":[{"number":3,"mask":2,"file":{"path":"/tmp","mode":16877}},{"number":4,"mask":2,"description":2}]}`},
		{"pidfd", `{"status":9,"same":2}`},
		{"inet_socket", `{"family":2,"type":2,"protocol":17,"local":"127.0.0.1:53","options":{"ip_ttl":[1]},"filter":[[6,0,0,0]]}`},
		{"netlink_socket", `{"type":3,"groups":[1,40],"port":77}`},
		{"inet_socket", `{"family":10,"type":3,"protocol":58,"peer":"[fe80::1%lo]:1","groups":[{"address":"ff02::1","interface":"lo"}]}`},
		{"tcp_socket", `{}`},
		{"tcp_socket", `{"family":2,"own":"127.0.0.1:1","remote":"127.0.0.1:2","outside":{"receive":1,"send":2,"window":[1,2,3,4,5],"max_segment":1460,"send_scale":7,"state":8}}`},
		{"tcp_socket", `{"family":10,"own":"[::1]:1","remote":"[::1]:2","reconnect":true,"shutdown":2,"options":{"tcp_no_delay":[1]}}`},
		{"tcp_socket", `{"family":2,"own":"127.0.0.1:1","over":true,"error":104}`},
		{"tcp_socket", `{"family":2,"own":"127.0.0.1:1","remote":"127.0.0.1:2","peer":2,"mark":{"place":1,"read":true}}`},
		{"packet_socket", `{"type":3,"protocol":3,"interface":"lo","groups":[{"interface":"lo","type":1,"count":1}],"copy_most":9,"options":{"packet_auxdata":[1]}}`},
		{"eventfd", `{"count":3,"semaphore":true}`},
		{"timerfd", `{"clock":1,"flags":1,"value_ns":5,"interval_ns":7,"ticks":2}`},
		{"signalfd", `{"mask":512}`},
		{"file_copy", `{"file":{"path":"/tmp/x","inode":1,"size":5,"mode":33188},"attributes":{"uid":1,"gid":1,"accessed_ns":0}}`},
		{"epoll", `{"quiet":true,"busy_poll":{"usecs":50,"budget":8,"prefer":true},"targets":[{"fd":5,"description":2,"events":1,"data":7,"spent":true}]}`},
	} {
		f.Add(seed.kind, seed.record, uint32(0), int64(0))
	}
	f.Fuzz(func(t *testing.T, kind, text string, flags uint32, offset int64) {
		d := image.Description{ID: 1, Kind: kind, Flags: flags, Offset: offset, Record: json.RawMessage(text)}
		for _, env := range []*fd.Env{{}, {Force: true}, {Files: fd.Strict}} {
			fd.Check(d, env)
		}
		fd.Describe(d)
		for _, object := range []string{"unix_socket", "inet_socket", "tcp_socket", "file_copy"} {
			o := image.Object{ID: 1, Kind: object, Record: json.RawMessage(text)}
			fd.CheckReferences(&image.Group{Objects: []image.Object{o}})
			fd.DescribeObject(o)
		}
	})
}

// FuzzObjects makes the objects of a hostile image, two of a kind that can refer to each other: each is made or refused at once. Names
// would have effects outside of the test, so no object has one.
func FuzzObjects(f *testing.F) {
	f.Add("pipe", `{"capacity":4096,"packets":[3,2]}`, `{"capacity":4096}`, "hello")
	f.Add("pipe", `{"capacity":8192,"slots":[{"size":3},{"size":2,"packet":true}]}`, `{"capacity":4096}`, "hello")
	f.Add("unix_socket", `{"type":1,"peer":2}`, `{"type":1,"peer":1,"shutdown":1}`, "hello")
	f.Add("unix_socket", `{"type":2,"peer":1,"messages":[{"size":5}]}`, `{"type":5,"closed":true,"options":{"sndbuf":[9000]}}`, "hello")
	f.Add("unix_socket", `{"type":2,"peer":1,"messages":[{"size":5,"credentials":{"pid":1,"uid":0,"gid":0}}]}`, `{"type":2,"peer":1}`, "hello")
	f.Add("unix_socket", `{"type":1,"listening":true,"backlog":1,"waiting":[2]}`, `{"type":1,"listener":1,"reset":true,"closed":true}`, "")
	f.Fuzz(func(t *testing.T, kind, first, second, content string) {
		if kind != "pipe" && kind != "unix_socket" || strings.Contains(first+second, "name") || strings.Contains(first+second, "path") || strings.Contains(first+second, "\\") {
			return
		}
		g := &image.Group{Objects: []image.Object{
			{ID: 1, Kind: kind, Record: json.RawMessage(first), Size: uint64(len(content))}, {ID: 2, Kind: kind, Record: json.RawMessage(second)}}}
		for id := range image.DescriptionID(2) {
			of := "pipe_end"
			if kind != "pipe" {
				of = kind
			}
			g.Descriptions = append(g.Descriptions, image.Description{ID: id + 1, Kind: of, Object: image.ObjectID(id + 1), Flags: uint32(id)})
		}
		env := &fd.Env{Content: func(_ image.ObjectID, size int) ([]byte, error) { return make([]byte, size), nil }}
		fd.CheckGroup(g, env)
		files, err := fd.MakeAll(fd.Order(g), env)
		if err == nil {
			for _, file := range files {
				file.Close()
			}
		}
		env.Abandon()
		env.Close()
	})
}

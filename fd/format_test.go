package fd_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"crak.dev/crak/fd"
)

// TestFormatNamesRecords checks that FORMAT.md names every field of every record, so that other programs can read
// them.
func TestFormatNamesRecords(t *testing.T) {
	text, err := os.ReadFile("../FORMAT.md")
	must(t, err)
	for _, record := range []any{
		fd.Regular{}, fd.Attributes{}, fd.MessageQueue{}, fd.QueuedMessage{}, fd.QueueOpen{}, fd.QueueNotification{}, fd.ExtendedAttribute{}, fd.PipeObject{}, fd.Directory{}, fd.PathOnly{}, fd.Special{}, fd.Device{}, fd.Terminal{}, fd.Modes{}, fd.Pipe{}, fd.Memfd{},
		fd.Eventfd{}, fd.Timerfd{}, fd.Signalfd{}, fd.Pty{}, fd.PtySlave{}, fd.Pidfd{}, fd.Inotify{}, fd.InotifyWatch{}, fd.TCPSocket{}, fd.Epoll{}, fd.EpollTarget{},
		fd.UnixSocket{}, fd.Credentials{}, fd.UnixMessage{}, fd.UnixName{}, fd.UnixFile{},
		fd.InetSocket{}, fd.Datagram{}, fd.MulticastGroup{}, fd.NetlinkSocket{}, fd.TCPOutside{},
	} {
		of := reflect.TypeOf(record)
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%v: field %q is not in FORMAT.md", of, name)
			}
		}
	}
}

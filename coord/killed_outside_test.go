package coord

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKilledOutside kills the writer when it waits for the state of a connection to the outside, and when the packets of the connection
// are dropped. The connection goes on at once.
func TestKilledOutside(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's programs keep their connections to the outside")
	}
	for name, place := range map[string]struct{ phase, call string }{
		"its state is read":        {"auto,capture", fmt.Sprintf("%d,2,%d", unix.SYS_RECVMSG, unix.MSG_CMSG_CLOEXEC)},
		"its packets are dropped":  {"auto,save", ""},
		"before the image is left": {"kill,commit", ""},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			port := listener.Addr().(*net.TCPAddr).Port
			p := start(t, true, exec.Command("bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d; cat <&3 >&3 & exec cat 3<&-", port)))
			peer, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			p.writerKilled(place.phase, place.call)
			peer.SetDeadline(time.Now().Add(60 * time.Second)) // TCP sends again after some seconds what was dropped
			const line = "still connected\n"
			if _, err := io.WriteString(peer, line); err != nil {
				t.Fatal(err)
			}
			if got, err := bufio.NewReader(peer).ReadString('\n'); got != line {
				t.Fatalf("the program says %q, %v", got, err)
			}
			if _, err := Checkpoint(Options{Pid: p.pid()}); err != nil {
				t.Error(err)
			}
		})
	}
}

package fd_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
)

func TestOverridesOfTheCommandLine(t *testing.T) {
	var o fd.Overrides
	for _, text := range []string{"", "7", "7=", "=close", "-1=close", "X=null", "7=open", "7=close=close", "7=x/y", "=null", ":x=null", "TCP=close", "inotify=", "99999999999=close"} {
		if err := o.Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	must(t, o.Set("251=close"))
	must(t, o.Set("0=null"))
	must(t, o.Set("251=null"))
	must(t, o.Set("tcp:*:5432=close"))
	must(t, o.Set("regular=/new/path=1"))
	if got := o.String(); got != "0=null,251=null,tcp:*:5432=close,regular=/new/path=1" {
		t.Errorf("%q", got)
	}
}

// refusedFile is a descriptor that a checkpoint refuses.
func refusedFile(t *testing.T) *os.File {
	return openedAt(t, "/proc/self/coredump_filter", unix.O_RDWR)
}

func overrides(t *testing.T, all ...string) (o fd.Overrides) {
	for _, text := range all {
		must(t, o.Set(text))
	}
	return o
}

func TestOverrides(t *testing.T) {
	f := refusedFile(t)
	m := ourselves()
	number := int(f.Fd())
	m.Overrides = overrides(t, fmt.Sprintf("%d=close", number))
	p := captured(t, m)
	if _, there := p.of[number]; there || p.obstacleOf(f) != "" {
		t.Errorf("left out: there %v, obstacle %q", there, p.obstacleOf(f))
	}
	m.Overrides = overrides(t, "special=null")
	d := captured(t, m).description(t, f)
	var r fd.Device
	must(t, json.Unmarshal(d.Record, &r))
	if d.Kind != "device" || r.Path != os.DevNull || d.Flags != unix.O_RDWR {
		t.Errorf("description %+v, record %+v", d, r)
	}
	if got := made(t, d, &fd.Env{}); got.Name() != os.DevNull {
		t.Errorf("made %s", got.Name())
	}
	m.Overrides = overrides(t, "special:/proc/*=close", "regular:/nowhere/*=null")
	if _, there := captured(t, m).of[number]; there {
		t.Error("left out by its kind and link: there")
	}
	must(t, f.Close())
	m.Overrides = overrides(t, fmt.Sprintf("%d=null", number))
	if _, err := fd.Capture(m, &fd.Table{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("fd %d: not open", number)) {
		t.Errorf("a number that is not open: %v", err)
	}
}

// TestOverrideOfAPipe leaves out one end of a pipe. The other end is still an end of a pipe that only the program
// has.
func TestOverrideOfAPipe(t *testing.T) {
	r, w := pipeOf(t)
	m := ourselves()
	m.Overrides = overrides(t, fmt.Sprintf("%d=close", w.Fd()))
	if d := captured(t, m).description(t, r); d.Kind != "pipe_end" {
		t.Errorf("kind %s", d.Kind)
	}
}

// TestInherited checks that the obstacle of an inherited descriptor says from which process it comes, and how to make
// the image without it.
func TestInherited(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.Stdin = refusedFile(t)
	f := refusedFile(t)
	must(t, unix.Dup2(int(f.Fd()), 251))
	t.Cleanup(func() { unix.Close(251) })
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	pid := cmd.Process.Pid
	p := captured(t, &fd.Member{Pid: pid, Inside: pid, Proc: fmt.Sprintf("/proc/%d", pid)})
	var inherited, own string
	for _, o := range p.Obstacles {
		switch o.Where {
		case "fd 0":
			own = o.Error()
		case "fd 251":
			inherited = o.Error()
		}
	}
	want := fmt.Sprintf("pid %d fd 251: /proc/%d/coredump_filter: a file of proc open for writing is not supported; the program inherited it from pid %d (", pid, os.Getpid(), os.Getpid())
	if !strings.HasPrefix(inherited, want) || !strings.Contains(inherited, fmt.Sprintf("crak checkpoint --fd 251=close %d; or ", pid)) {
		t.Errorf("%q instead of %q…", inherited, want)
	}
	if strings.Contains(own, "inherited") || own == "" {
		t.Errorf("another description under the number: %q", own)
	}
}

// TestOverrideOfSockets chooses connections by the address of the other end, and a listening socket by its own.
func TestOverrideOfSockets(t *testing.T) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	listener, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	client, err := net.Dial("tcp4", listener.Addr().String())
	must(t, err)
	defer client.Close()
	server, err := listener.Accept()
	must(t, err)
	defer server.Close()
	var files [3]*os.File
	for i, c := range []any{listener, client, server} {
		files[i], err = c.(interface{ File() (*os.File, error) }).File()
		must(t, err)
		defer files[i].Close()
	}
	const kept, left, reset = 0, 1, 2
	for pattern, want := range map[string][3]int{ // a reset has effect on both ends
		"tcp:" + listener.Addr().String():                                          {left, reset, reset},
		"tcp:*.1:" + strings.TrimPrefix(client.LocalAddr().String(), "127.0.0.1:"): {kept, reset, reset},
		"tcp":                 {left, reset, reset},
		"tcp_socket":          {left, reset, reset},
		"unix":                {},
		"tcp:127.0.0.1:*:443": {},
	} {
		m := ourselves()
		m.Overrides = overrides(t, pattern+"=close")
		p := captured(t, m)
		for i, f := range files {
			is := kept
			if d, there := p.of[int(f.Fd())]; !there {
				is = left
			} else if o := p.Objects[d.Object-1]; strings.Contains(fd.DescribeObject(o), "ECONNRESET") {
				is = reset
			}
			if why := p.obstacleOf(f); is != want[i] || why != "" {
				t.Errorf("%s, socket %d: %d, want %d; obstacle %q", pattern, i, is, want[i], why)
			}
		}
	}
}

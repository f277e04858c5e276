package kcmp

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCompare(t *testing.T) {
	self := os.Getpid()
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); child.Wait() }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	copied, err := unix.Dup(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	instance, err := unix.EpollCreate1(0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(instance)
	if err := unix.EpollCtl(instance, unix.EPOLL_CTL_ADD, copied, &unix.EpollEvent{}); err != nil {
		t.Fatal(err)
	}
	reading, writing := int(r.Fd()), int(w.Fd())
	registered := Target{Instance: uint32(instance), Number: uint32(copied)}
	for _, c := range []struct {
		name string
		same bool
		ask  func() (int, error)
	}{
		{"one process", true, func() (int, error) { return Threads(self, self, Memory) }},
		{"two processes", false, func() (int, error) { return Threads(self, child.Process.Pid, Memory) }},
		{"tables", false, func() (int, error) { return Threads(self, child.Process.Pid, Table) }},
		{"a copy of a descriptor", true, func() (int, error) { return Files(self, reading, self, copied) }},
		{"two ends of a pipe", false, func() (int, error) { return Files(self, reading, self, writing) }},
		{"a target", true, func() (int, error) { return EpollTarget(self, reading, self, registered) }},
		{"not a target", false, func() (int, error) { return EpollTarget(self, writing, self, registered) }},
	} {
		if order, err := c.ask(); err != nil || (order == 0) != c.same {
			t.Errorf("%s: %d, %v", c.name, order, err)
		}
	}
	forth, err1 := Files(self, reading, self, writing)
	back, err2 := Files(self, writing, self, reading)
	if err1 != nil || err2 != nil || forth != -back {
		t.Errorf("order: %d and %d, %v, %v", forth, back, err1, err2)
	}
	if _, err := Files(self, 1<<20, self, reading); !errors.Is(err, unix.EBADF) {
		t.Errorf("no such descriptor: %v", err)
	}
}

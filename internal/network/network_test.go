package network

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMakePrivate runs itself in a user namespace, where every user has CAP_SYS_ADMIN.
func TestMakePrivate(t *testing.T) {
	if os.Getenv("IN_USER_NAMESPACE") == "" {
		if err := exec.Command("unshare", "--user", "--map-root-user", "true").Run(); err != nil {
			t.Skip("user namespaces cannot be made: ", err)
		}
		cmd := exec.Command("unshare", "--user", "--map-root-user", os.Args[0], "-test.run=TestMakePrivate")
		cmd.Env = append(os.Environ(), "IN_USER_NAMESPACE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if private, _, err := IsPrivate(); private || err != nil {
		t.Fatalf("before: %v, %v", private, err)
	}
	if err := MakePrivate(nil, nil); err != nil {
		t.Fatal(err)
	}
	if private, _, err := IsPrivate(); !private || err != nil {
		t.Errorf("after: %v, %v", private, err)
	}
	var own [20]string
	for i := range own { // each in some thread
		own[i], _ = os.Readlink("/proc/thread-self/ns/net")
		if own[i] != own[0] {
			t.Errorf("threads in %s and %s", own[i], own[0])
		}
	}
	for to, want := range map[[4]byte]error{{127, 0, 0, 1}: nil, {192, 0, 2, 1}: unix.ENETUNREACH} {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(s, &unix.SockaddrInet4{Addr: to, Port: 9}); err != want {
			t.Errorf("connect to %v: %v, want %v", to, err, want)
		}
		unix.Close(s)
	}
}

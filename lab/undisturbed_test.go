package lab

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPictureBesideOrders: pictures are the same although the program handles orders all the time, as it does beside a crak ps.
func TestPictureBesideOrders(t *testing.T) {
	program := filepath.Join(t.TempDir(), "orders")
	if out, err := exec.Command("gcc", "-O2", "-Wall", "-Werror", "-o", program, "testdata/orders.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	first, err := TakeGroup(pid, []int{pid})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		picture, err := TakeGroup(pid, []int{pid})
		if err != nil {
			t.Fatal(err)
		}
		if diff := compare(first, picture, volatile); diff != "" {
			t.Fatalf("picture %d differs from the first (-first +later):\n%s", n, diff)
		}
	}
}

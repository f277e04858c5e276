package fd_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
)

// BenchmarkCapture measures a part of the pause of a program: the capture of ten files and of the descriptors of go
// test.
func BenchmarkCapture(b *testing.B) {
	dir := b.TempDir()
	for i := range 10 {
		n, err := unix.Open(dir+"/file", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(n) })
		if _, err := unix.Seek(n, int64(i/2), 0); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		var table fd.Table
		if _, err := fd.Capture(ourselves(), &table); err != nil {
			b.Fatal(err)
		}
	}
}

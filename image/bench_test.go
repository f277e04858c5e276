package image

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const benchBytes = 1 << 30

// benchGroup is goodGroup with a heap of benchBytes.
func benchGroup() (*Group, []Run) {
	g := goodGroup()
	m := &g.Processes[0].Mappings[3]
	m.Start = 0x7fef_0000_0000
	m.End = m.Start + benchBytes
	g.Processes[0].Threads[0].Parked.Context = uint64(m.Start)
	g.Processes[0].Threads[0].Parked.Frame = uint64(m.Start)
	return g, []Run{{Start: uint64(m.Start), Length: benchBytes}}
}

func benchDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(os.Getenv("CRAK_BENCH_DIR"), "crak-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// randomMemory returns content like the memory of a program.
func randomMemory() []byte {
	m := make([]byte, benchBytes)
	fillRandom(m, 0)
	return m
}

func BenchmarkWrite(b *testing.B) {
	memory := randomMemory()
	for _, c := range []struct {
		name     string
		compress bool
	}{{"none", false}, {"zstd", true}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(benchBytes)
			for b.Loop() {
				b.StopTimer()
				dir := benchDir(b)
				b.StartTimer()
				benchImage(b, dir, c.compress, memory)
				b.StopTimer()
				os.RemoveAll(dir)
				b.StartTimer()
			}
		})
	}
}

func benchImage(b *testing.B, dir string, compress bool, memory []byte) string {
	b.Helper()
	g, runs := benchGroup()
	w, err := Create(dir, Options{Program: "app", Pid: 412, Compress: compress})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	base := runs[0].Start
	err = w.Put(ProcessSpace(412), runs, func(dst []byte, runs []Run) error {
		for _, r := range runs {
			dst = dst[copy(dst, memory[r.Start-base:][:r.Length]):]
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	path, err := w.Commit(Manifest{Root: 412}, g)
	if err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkCopy writes the same memory to one plain file, for comparison with BenchmarkWrite.
func BenchmarkCopy(b *testing.B) {
	memory := randomMemory()
	b.SetBytes(benchBytes)
	for b.Loop() {
		b.StopTimer()
		dir := benchDir(b)
		b.StartTimer()
		f, err := os.Create(filepath.Join(dir, "copy"))
		if err != nil {
			b.Fatal(err)
		}
		for at := 0; at < len(memory); at += frameBytes {
			if _, err := f.Write(memory[at : at+frameBytes]); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		f.Close()
		b.StopTimer()
		os.RemoveAll(dir)
		b.StartTimer()
	}
}

// BenchmarkReadCold reads an image that is not in the page cache.
func BenchmarkReadCold(b *testing.B) {
	path := benchImage(b, benchDir(b), false, randomMemory())
	forget := func(b *testing.B) {
		f, err := os.Open(filepath.Join(path, pagesFile))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			b.Fatal(err)
		}
	}
	cold := func(name string, read func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchBytes)
			for b.Loop() {
				b.StopTimer()
				forget(b)
				b.StartTimer()
				read(b)
			}
		})
	}
	cold("fill", func(b *testing.B) { benchFill(b, path, 0) })
	cold("plain", func(b *testing.B) {
		f, err := os.Open(filepath.Join(path, pagesFile))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, frameBytes)
		for n := 1; n > 0; {
			n, _ = f.Read(buf)
		}
	})
}

func benchFill(b *testing.B, path string, workers int) {
	b.Helper()
	i, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close()
	err = i.Fill(context.Background(), ProcessSpace(412), workers, func([]Run, []byte) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	memory := randomMemory()
	for _, c := range []struct {
		name    string
		workers int
	}{{"one", 1}, {"all", 0}} {
		b.Run(c.name, func(b *testing.B) {
			path := benchImage(b, benchDir(b), false, memory)
			b.SetBytes(benchBytes)
			for b.Loop() {
				benchFill(b, path, c.workers)
			}
		})
	}
}

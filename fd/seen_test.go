package fd_test

import (
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestChangedSinceTheSurvey captures descriptors of one file, changes them, and captures them again with what is known from the first
// time. Each round changes more of them: they become copies of each other, are opened anew, seek, and get other flags.
func TestChangedSinceTheSurvey(t *testing.T) {
	const count = 60
	path := t.TempDir() + "/file"
	anew := func(number int) {
		n, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		must(t, err)
		must(t, unix.Dup3(n, number, unix.O_CLOEXEC))
		must(t, unix.Close(n))
	}
	numbers := make([]int, count)
	for i := range numbers {
		n, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(n)
		numbers[i] = n
		anew(n)
	}
	var table fd.Table
	m := ourselves()
	m.Seen = &table.Seen
	model := make(map[int]int) // which description a number has
	for i, n := range numbers {
		model[n] = -i
	}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range count {
		m.Calls = nil
		must(t, second(fd.Capture(m, &table)))
		table.Again()
		for i := range round {
			n, other := numbers[random.IntN(count)], numbers[random.IntN(count)]
			switch random.IntN(4) {
			case 0:
				anew(n)
				model[n] = 1 + round*count + i
			case 1:
				if n != other {
					must(t, unix.Dup3(other, n, unix.O_CLOEXEC))
					model[n] = model[other]
				}
			case 2:
				must(t, second(unix.Seek(n, int64(random.IntN(1000)), 0)))
			case 3:
				must(t, second(unix.FcntlInt(uintptr(n), unix.F_SETFL, random.IntN(2)*unix.O_APPEND)))
				must(t, second(unix.FcntlInt(uintptr(n), unix.F_SETFD, random.IntN(2)*unix.FD_CLOEXEC)))
			}
		}
		m.Calls = makeCalls
		descriptors, err := fd.Capture(m, &table)
		must(t, err)
		captured := make(map[int]image.DescriptionID)
		for _, d := range descriptors {
			captured[d.Fd] = d.Description
			if flags, _ := unix.FcntlInt(uintptr(d.Fd), unix.F_GETFD, 0); d.CloseOnExec != (flags&unix.FD_CLOEXEC != 0) {
				t.Errorf("round %d fd %d: close-on-exec %v", round, d.Fd, d.CloseOnExec)
			}
		}
		of := make(map[int]image.DescriptionID) // descriptions of the model
		known := make(map[image.DescriptionID]int)
		for _, n := range numbers {
			id, one := captured[n], model[n]
			if id == 0 || of[one] != 0 && of[one] != id || known[id] != 0 && model[known[id]] != one {
				t.Fatalf("round %d fd %d: description %d; fd %d has it as well", round, n, id, known[id])
			}
			of[one], known[id] = id, n
			d := table.Descriptions[id-1]
			offset, err := unix.Seek(n, 0, unix.SEEK_CUR)
			must(t, err)
			flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
			must(t, err)
			if d.Offset != offset || d.Flags != uint32(flags) {
				t.Errorf("round %d fd %d: offset %d, flags %#x; it has %d, %#x", round, n, d.Offset, d.Flags, offset, flags)
			}
		}
		table.Again()
	}
}

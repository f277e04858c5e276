package dump

import (
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// Bounds of one capture, whatever the resident answers.
const (
	mostMemory = 64 << 20
	mostTime   = 20 * time.Second
)

// FuzzCapture captures the test's own process. The resident sends a correct HELLO, and then answers every question with the next of
// the given bytes, in messages of the right length.
func FuzzCapture(f *testing.F) {
	f.Add(int32(0), uint32(abi.ThreadInitiator), []byte{0})
	f.Add(int32(1), uint32(abi.ThreadRseq), []byte{255})
	f.Add(int32(-1), uint32(abi.ThreadDead), []byte("\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Add(int32(0), uint32(0), []byte("\xf5\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, other int32, flags uint32, answers []byte) {
		if len(answers) == 0 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		tids, err := proc.Tasks(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		threads := []abi.Thread{{Tid: int32(os.Getpid()) + other, Flags: flags}}
		for _, tid := range tids {
			if tid != os.Getpid() {
				threads = append(threads, abi.Thread{Tid: int32(tid)})
			}
		}
		captureHostile(t, threads, answers)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > mostMemory {
			t.Errorf("%d MiB allocated", used>>20)
		}
		if took := time.Since(begun); took > mostTime {
			t.Errorf("took %v", took)
		}
	})
}

func captureHostile(t *testing.T, threads []abi.Thread, answers []byte) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	liar := os.NewFile(uintptr(pair[1]), "liar")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		lie(liar, answers)
		liar.Close()
	}()
	c, err := resident.Handshake(pair[0], os.Getpid(), make([]byte, abi.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	var table fd.Table
	m := &Member{Pid: os.Getpid(), Live: os.Getpid(), Table: &table, Conn: c, Threads: threads}
	if processes, err := Capture([]*Member{m}); err == nil {
		group := &image.Group{Root: processes[0].Pid, Processes: []image.Process{*processes[0]}, Descriptions: table.Descriptions, Memory: table.Memory}
		image.MarshalText(group)
	}
	c.Close()
	<-answered
}

// lie sends a correct HELLO, and then answers each CALLS message until the connection ends.
func lie(f *os.File, answers []byte) {
	hello := abi.HelloBody{Magic: abi.Magic, Version: abi.Version, Pid: int32(os.Getpid()), Socket: -1}
	challenge := abi.ChallengeBody{Magic: abi.Magic, Version: abi.Version}
	message := abi.Message{Type: abi.Challenge, Count: 1, Length: abi.ChallengeSize}
	f.Write(append(bytesOf(&message), bytesOf(&challenge)...))
	if _, err := io.CopyN(io.Discard, f, abi.MessageSize+abi.SecretSize); err != nil {
		return // the proof
	}
	message = abi.Message{Type: abi.Hello, Count: 1, Length: abi.HelloSize}
	f.Write(append(bytesOf(&message), bytesOf(&hello)...))
	next := 0
	for {
		order := make([]byte, abi.MessageSize)
		if _, err := io.ReadFull(f, order); err != nil || binary.NativeEndian.Uint32(order) != uint32(abi.Calls) {
			return
		}
		count, length := binary.NativeEndian.Uint32(order[4:]), binary.NativeEndian.Uint64(order[8:])
		if _, err := io.CopyN(io.Discard, f, int64(length)); err != nil {
			return
		}
		body := make([]byte, length-uint64(count)*(abi.CallSize-8))
		for i := range body {
			body[i] = answers[next%len(answers)]
			next++
		}
		answer := abi.Message{Type: abi.Results, Count: count, Length: uint64(len(body))}
		if _, err := f.Write(append(bytesOf(&answer), body...)); err != nil {
			return
		}
	}
}

func bytesOf[T any](p *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)) }

package resident

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// TestQuestions: each message has as many calls as it can hold, and each function got receives its own result.
func TestQuestions(t *testing.T) {
	var ask Questions
	const n = abi.CallsMax + 3
	big := abi.DataMax / 2
	got := make([]string, n)
	for i := range n {
		buffer := make([]byte, 4)
		if i < 3 {
			buffer = make([]byte, big) // two buffers with their padding fill a message
		}
		binary.NativeEndian.PutUint32(buffer, uint32(i))
		ask.Ask(abi.Call{Number: uint32(i), Relative: abi.Data(1), Args: [6]uint64{7, 0}}, buffer, func(r int64, data []byte) {
			got[i] = fmt.Sprintf("%d %d %d", r, len(data), binary.NativeEndian.Uint32(data))
		})
	}
	messages := 0
	err := ask.Put(func(calls []abi.Call, data []byte) ([]int64, error) {
		messages++
		if len(calls) > abi.CallsMax || len(data) > abi.DataMax {
			t.Errorf("%d calls with %d bytes in one message", len(calls), len(data))
		}
		results := make([]int64, len(calls))
		for i, c := range calls {
			at := data[c.Args[1]:]
			if c.Args[0] != 7 || binary.NativeEndian.Uint32(at) != c.Number {
				t.Errorf("call %d finds %d in its buffer", c.Number, binary.NativeEndian.Uint32(at))
			}
			binary.NativeEndian.PutUint32(at, c.Number*2)
			results[i] = -int64(c.Number)
		}
		return results, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range got {
		if want := fmt.Sprintf("%d %d %d", -i, map[bool]int{true: big, false: 4}[i < 3], 2*i); text != want {
			t.Fatalf("answer %d: %s instead of %s", i, text, want)
		}
	}
	if messages != 3 {
		t.Errorf("%d messages", messages)
	}
	if err := ask.Put(nil); err != nil {
		t.Errorf("nothing to ask: %v", err)
	}
}

// TestQuestionsAgain: a call finds what the call before it has left in its buffer, also where a message is full between them.
func TestQuestionsAgain(t *testing.T) {
	for before := range abi.CallsMax + 2 {
		var ask Questions
		for range before {
			ask.Value(1, [6]uint64{}, func(int64) {})
		}
		var first, second string
		call := abi.Call{Number: 2, Relative: abi.Data(0), Args: [6]uint64{0}}
		ask.Ask(call, []byte("a"), func(_ int64, data []byte) { first = string(data) })
		ask.AskAgain(call, func(_ int64, data []byte) { second = string(data) })
		err := ask.Put(func(calls []abi.Call, data []byte) ([]int64, error) {
			again := 0
			for _, c := range calls {
				if c.Number == 2 {
					data[c.Args[0]]++
					again++
				}
			}
			if len(calls) > abi.CallsMax || again == 1 {
				t.Errorf("after %d calls: a message of %d calls has %d of the two", before, len(calls), again)
			}
			return make([]int64, len(calls)), nil
		})
		if err != nil || first != "c" || second != "c" {
			t.Errorf("after %d calls: %v, %q, %q", before, err, first, second)
		}
	}
}

func TestQuestionsTooLarge(t *testing.T) {
	var ask Questions
	ask.Value(1, [6]uint64{}, func(int64) {})
	ask.Ask(abi.Call{Number: 2}, make([]byte, abi.DataMax+8), func(int64, []byte) { t.Error("answered") })
	err := ask.Put(func(calls []abi.Call, data []byte) ([]int64, error) { return make([]int64, len(calls)), nil })
	if err == nil {
		t.Error("no error")
	}
}

func TestQuestionsFail(t *testing.T) {
	var ask Questions
	ask.Value(1, [6]uint64{}, func(int64) { t.Error("an answer without one") })
	want := errors.New("gone")
	if err := ask.Put(func([]abi.Call, []byte) ([]int64, error) { return nil, want }); err != want {
		t.Error(err)
	}
}

// connect plays the resident, in the test's own process.
func connect(t *testing.T, l *Listener, say ...[]byte) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@%s%016x", abi.SocketPrefix, l.name)}); err != nil {
		t.Fatal(err)
	}
	for _, b := range say {
		if _, err := unix.Write(fd, b); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

// accepted returns a connection and the resident's end of it. The resident has sent a HELLO and more.
func accepted(t *testing.T, more ...[]byte) (*Conn, int) {
	t.Helper()
	l := listen(t)
	fd := connect(t, l, append(hello(abi.Version, ""), more...)...)
	c, err := l.Accept(os.Getpid(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, fd
}

func listen(t *testing.T) *Listener {
	t.Helper()
	l, err := Listen(&Key{secret: make([]byte, abi.SecretSize)}) // as after a query
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func hello(version uint32, settings string) [][]byte {
	challenge := &abi.ChallengeBody{Magic: abi.Magic, Version: version}
	body := &abi.HelloBody{Magic: abi.Magic, Version: abi.Version, Pid: 412, Tid: 413, Dumpable: 1}
	message := &abi.Message{Type: abi.Hello, Count: 1, Length: abi.HelloSize + uint64(len(settings))}
	return [][]byte{bytesOf(&abi.Message{Type: abi.Challenge, Count: 1, Length: abi.ChallengeSize}), bytesOf(challenge),
		bytesOf(message), bytesOf(body), []byte(settings)}
}

func TestHello(t *testing.T) {
	l := listen(t)
	connect(t, l, hello(abi.Version, "CRAK_START_DIR=/a=b\x00CRAK_LOG=\x00")...)
	c, err := l.Accept(os.Getpid(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Hello.Pid != 412 || c.Hello.Tid != 413 || c.Settings["CRAK_START_DIR"] != "/a=b" || len(c.Settings) != 2 {
		t.Errorf("%+v, %q", c.Hello, c.Settings)
	}
}

func TestHelloRefused(t *testing.T) {
	long := &abi.Message{Type: abi.Hello, Length: 1 << 40}
	for want, say := range map[string][][]byte{
		"protocol version 9":                hello(9, ""),
		"protocol version 1,":               {bytesOf(&abi.Message{Type: abi.Hello, Length: 40}), bytesOf(&abi.ChallengeBody{Magic: abi.Magic, Version: 1})},
		"of type 7, 0 bytes":                {bytesOf(&abi.Message{Type: abi.Resume})},
		"1099511627776 bytes":               append(hello(abi.Version, "")[:2], bytesOf(long)),
		"its resident refuses orders":       hello(abi.Version, "")[:2],
		"unexpected EOF":                    hello(abi.Version, "CRAK_DIR=/")[:4],
		"its resident refuses orders: only": append(hello(abi.Version, "")[:2], bytesOf(long)[:5]),
	} {
		l := listen(t)
		unix.Shutdown(connect(t, l, say...), unix.SHUT_WR)
		if _, err := l.Accept(os.Getpid(), time.Minute); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v instead of %q", err, want)
		}
	}
}

// TestHelloEnds: the process ends before its HELLO.
func TestHelloEnds(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	io.ReadAll(out) // until the kernel has closed its descriptors
	unix.Shutdown(ends[1], unix.SHUT_WR)
	defer unix.Close(ends[1])
	if _, err := Handshake(ends[0], cmd.Process.Pid, nil); !errors.Is(err, ErrEnded) {
		t.Errorf("%v", err)
	}
}

func TestAcceptGivesUp(t *testing.T) {
	l := listen(t)
	if _, err := l.Accept(os.Getpid(), time.Millisecond); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("nobody comes: %v", err)
	}
	connect(t, l, hello(abi.Version, "")...) // not by process 1
	if _, err := l.Accept(1, 10*time.Millisecond); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("another process comes: %v", err)
	}
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if _, err := l.Accept(cmd.Process.Pid, time.Minute); !errors.Is(err, ErrEnded) {
		t.Errorf("the process ends: %v", err)
	}
	cmd.Wait()
	if _, err := l.Accept(cmd.Process.Pid, time.Minute); !errors.Is(err, ErrEnded) {
		t.Errorf("the process is gone: %v", err)
	}
	time.AfterFunc(time.Millisecond, l.Interrupt)
	for range 2 {
		begun := time.Now()
		if _, err := l.Accept(os.Getpid(), time.Minute); err == nil || time.Since(begun) > 30*time.Second {
			t.Errorf("an interrupted Accept goes on for %v: %v", time.Since(begun), err)
		}
	}
}

// TestDrip: a resident that sends single bytes cannot extend the wait for a message. It sends a byte when the last one has been read, so
// that a message is never complete before the writer has looked at the time.
func TestDrip(t *testing.T) {
	c, fd := accepted(t)
	done := make(chan struct{})
	defer func() { // before fd is closed, and its number used again
		c.Close()
		<-done
	}()
	go func() {
		defer close(done)
		for err := error(nil); err == nil; time.Sleep(time.Millisecond) {
			if unread, ioctlErr := unix.IoctlGetInt(fd, unix.TIOCOUTQ); ioctlErr == nil && unread > 0 {
				continue
			}
			_, err = unix.Write(fd, bytesOf(&abi.Message{Type: abi.Frozen, Count: 1, Length: abi.ThreadSize})[:1])
		}
	}()
	begun := time.Now()
	if _, err := c.Frozen(5 * time.Millisecond); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v", err)
	}
	c.waited = timeoutAll + 1
	if _, err := c.Calls([]abi.Call{{}}, nil); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("all answers together: %v", err)
	}
	if took := time.Since(begun); took > timeoutWire/2 {
		t.Errorf("it took %v", took)
	}
}

// TestFlood: other processes connect faster than Accept can refuse them, and Accept still ends in time.
func TestFlood(t *testing.T) {
	l := listen(t)
	done := make(chan struct{})
	var others sync.WaitGroup
	defer others.Wait()
	defer close(done)
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
				if err == nil {
					unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@%s%016x", abi.SocketPrefix, l.name)})
					unix.Close(fd)
				}
			}
		})
	}
	begun := time.Now()
	if _, err := l.Accept(1, 200*time.Millisecond); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > timeoutWire/2 {
		t.Errorf("it took %v", took)
	}
}

// TestExchange: answers of the resident to a freeze, to calls and to SNAPSHOT.
func TestExchange(t *testing.T) {
	threads := []abi.Thread{{Tid: 412, Syscall: -1}, {Tid: 413, Syscall: 35}}
	data := []byte("12345678")
	c, fd := accepted(t,
		bytesOf(&abi.Message{Type: abi.Frozen, Count: 2, Length: 2 * abi.ThreadSize}), bytesOfSlice(threads),
		bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 16}), bytesOfSlice([]int64{-5}), data,
		bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 8}), bytesOfSlice([]int64{-int64(unix.EAGAIN)}),
		bytesOf(&abi.Message{Type: abi.Results, Count: 2, Length: 16}))
	if got, err := c.Frozen(time.Minute); err != nil || !slices.Equal(got, threads) {
		t.Errorf("frozen: %v, %v", got, err)
	}
	buffer := make([]byte, 8)
	if got, err := c.Calls([]abi.Call{{Number: 39}}, buffer); err != nil || !slices.Equal(got, []int64{-5}) || !slices.Equal(buffer, data) {
		t.Errorf("calls: %d, %q, %v", got, buffer, err)
	}
	if _, err := c.Snapshot(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("snapshot: %v", err)
	}
	if _, err := c.Calls([]abi.Call{{}}, nil); err == nil || !strings.Contains(err.Error(), "16 bytes: 8 expected") {
		t.Errorf("an answer to something else: %v", err)
	}
	if _, err := c.Calls(make([]abi.Call, abi.CallsMax+1), nil); err == nil {
		t.Error("too many calls")
	}
	asked := bufio.NewReader(os.NewFile(uintptr(must(unix.Dup(fd))), "peer"))
	proof := make([]byte, abi.MessageSize+abi.SecretSize)
	if _, err := io.ReadFull(asked, proof); err != nil || binary.NativeEndian.Uint32(proof) != uint32(abi.Proof) {
		t.Errorf("proof %x: %v", proof, err)
	}
	first := make([]byte, abi.MessageSize)
	if _, err := asked.Read(first); err != nil || binary.NativeEndian.Uint32(first) != uint32(abi.Calls) {
		t.Errorf("asked %x: %v", first, err)
	}
	unix.Shutdown(fd, unix.SHUT_RDWR)
	if err := c.Resume(); err == nil {
		t.Error("resume to nobody")
	}
}

// TestEarly: early questions go with the proof, and once. Their answers come before the one to the next request.
func TestEarly(t *testing.T) {
	var got []string
	early := new(Questions)
	early.Ask(abi.Call{Number: 7, Relative: abi.Data(0)}, []byte("........"), func(r int64, data []byte) { got = append(got, fmt.Sprintf("early %d %s", r, data)) })
	l := listen(t)
	l.Early = early
	fd := connect(t, l, append(hello(abi.Version, ""),
		bytesOf(&abi.Message{Type: abi.Frozen, Count: 1, Length: abi.ThreadSize}), bytesOfSlice([]abi.Thread{{Tid: 412}}),
		bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 16}), bytesOfSlice([]int64{-5}), []byte("answered"),
		bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 8}), bytesOfSlice([]int64{9}),
		bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 8}), bytesOfSlice([]int64{10}))...)
	c, err := l.Accept(os.Getpid(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Frozen(time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{9, 10} {
		results, err := c.CallsWhile([]abi.Call{{Number: 8}}, nil, func() error { got = append(got, "meanwhile"); return nil })
		if err != nil || !slices.Equal(results, []int64{want}) {
			t.Errorf("%d, %v", results, err)
		}
	}
	if want := []string{"meanwhile", "early -5 answered", "meanwhile"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	sent := make([]byte, 4096)
	n, err := unix.Read(fd, sent)
	if err != nil {
		t.Fatal(err)
	}
	proof, call := abi.MessageSize+abi.SecretSize, abi.MessageSize+abi.CallSize
	if n != proof+call+8+2*call {
		t.Errorf("%d bytes", n)
	}
	if request := sent[proof:]; binary.NativeEndian.Uint32(request) != uint32(abi.Calls) || binary.NativeEndian.Uint64(request[8:]) != uint64(abi.CallSize+8) {
		t.Errorf("after the proof: %x", request[:abi.MessageSize])
	}
}

// TestKillOther: the process has ended, another one answers in its place, and a third one has its PID. Kill does not kill the third one.
func TestKillOther(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	process := must(unix.PidfdOpen(ended.Process.Pid, 0))
	defer unix.Close(process)
	ended.Wait()
	third := exec.Command("cat")
	in, err := third.StdinPipe()
	if err == nil {
		err = third.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	c, _ := accepted(t, bytesOf(&abi.Message{Type: abi.Results, Count: 1, Length: 8}), bytesOfSlice([]int64{0}))
	c.Pid = third.Process.Pid
	if err := c.Kill(process); err != nil {
		t.Error(err)
	}
	in.Close()
	if err := third.Wait(); err != nil {
		t.Errorf("the other process: %v", err)
	}
}

func must(fd int, err error) int {
	if err != nil {
		panic(err)
	}
	return fd
}

func TestFreezeError(t *testing.T) {
	failure := abi.Failure{Code: abi.FailedTasks, Detail: int32(unix.EMFILE)}
	c, _ := accepted(t, bytesOf(&abi.Message{Type: abi.Failed, Count: 1, Length: abi.FailureSize}), bytesOf(&failure))
	_, err := c.Frozen(time.Minute)
	if e, ok := errors.AsType[*FreezeError](err); !ok || e.Failure != failure {
		t.Errorf("%v", err)
	}
	for code, want := range map[abi.FailureCode]string{
		abi.FailedPark:   "pid 6 thread 7: does not stop for a checkpoint",
		abi.FailedTasks:  "pid 6: its threads cannot be listed: /proc/self/task: too many open files",
		abi.FailedSignal: "pid 6 thread 7: signal: too many open files",
		abi.FailedMemory: "pid 6: no memory for the stacks on which 24 of its threads are to wait",
		9:                "pid 6: freeze failed: code 9 at line 5",
	} {
		e := &FreezeError{6, abi.Failure{Code: code, Tid: 7, Detail: int32(unix.EMFILE), Line: 5}}
		if e.Error() != want {
			t.Errorf("%q instead of %q", e.Error(), want)
		}
	}
	if _, err := c.Frozen(time.Millisecond); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("no answer: %v", err)
	}
}

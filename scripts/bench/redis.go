package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

const valueSize = 4096 // of each key

// redis measures redis-server with b.mib MiB of values: its pause, and the time from the start of crak restart until it answers.
func (b *Bench) redis() error {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return errAbsent
	}
	socket := filepath.Join(b.dir, "redis")
	s, err := b.launchUntil("ready to accept connections", []string{"CRAK_COMPRESS=none"}, "redis-server",
		"--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	if err != nil {
		return err
	}
	defer s.end()
	defer os.Remove(socket)
	if err := fillRedis(socket, b.mib<<20/valueSize); err != nil {
		return err
	}
	status, err := proc.Read(s.pid(), "status", proc.Status)
	if err != nil {
		return err
	}
	mib := int(status.VmRSS >> 20)
	forks := func() (float64, error) { return forkOfRedis(s.pid(), socket) }
	var log int64
	pause := func() (float64, error) {
		c, err := s.checkpoint()
		if err != nil {
			return 0, err
		}
		_ = os.RemoveAll(c.image)
		pauses, end, err := s.loggedPauses(log)
		log = end
		return median(pauses), err
	}
	paused, forked, err := turns(max(3, b.rounds/2), pause, forks)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("redis-server with %d MiB", b.mib)
	b.add(Row{What: "pause: " + what, Unit: "ms", Ours: paused, Against: "its own fork (BGSAVE)", Reference: forked,
		Target: "1.2 ×"}, paused < 1.2*forked)
	c, err := s.killed()
	if err != nil {
		return err
	}
	answered, filled, err := turns(max(3, b.rounds/2), func() (float64, error) { return b.answer(c.image, socket) }, func() (float64, error) {
		v, err := numbersOf(exec.Command(b.workload("fill"), strconv.Itoa(mib)))
		if err != nil {
			return 0, err
		}
		return v[0] / ms, nil
	})
	if err != nil {
		return err
	}
	b.add(Row{What: "first answer after a restart: " + what, Unit: "ms", Ours: answered, Against: "filling new memory", Reference: filled,
		Target: "1.3 ×"}, answered < 1.3*filled)
	return nil
}

// forkOfRedis has redis-server fork, as it does to save its data (BGSAVE). The result is how long the server says that took, in ms. Its child
// is ended at once.
//
// The fork of another program with as much memory would not be the same: by perf, fork(2) of redis-server takes a fifth longer.
func forkOfRedis(pid int, socket string) (float64, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	answers := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, "BGSAVE\r\n"); err != nil {
		return 0, err
	}
	if line, err := answers.ReadString('\n'); err != nil || line[0] != '+' {
		return 0, fmt.Errorf("redis-server: BGSAVE: %q: %w", line, err)
	}
	children, err := os.ReadFile(proc.Path(pid, fmt.Sprintf("task/%d/children", pid)))
	if err != nil {
		return 0, err
	}
	for _, child := range bytes.Fields(children) {
		if number, err := strconv.Atoi(string(child)); err == nil {
			_ = unix.Kill(number, unix.SIGUSR1) // for redis-server this is no failure
		}
	}
	took := -1.0
	for { // until the child has ended
		if _, err := io.WriteString(conn, "INFO\r\n"); err != nil {
			return 0, err
		}
		var length int
		if _, err := fmt.Fscanf(answers, "$%d\r\n", &length); err != nil || length < 0 || length > 1<<20 {
			return 0, fmt.Errorf("redis-server: INFO: %d bytes: %w", length, err)
		}
		text := make([]byte, length+len("\r\n"))
		if _, err := io.ReadFull(answers, text); err != nil {
			return 0, err
		}
		for line := range bytes.Lines(text) {
			_, _ = fmt.Sscanf(string(line), "latest_fork_usec:%g", &took)
		}
		if bytes.Contains(text, []byte("rdb_bgsave_in_progress:0")) {
			break
		}
		time.Sleep(time.Millisecond) // the server has no event for this
	}
	if took < 0 {
		return 0, errors.New("redis-server: INFO does not tell how long fork(2) took")
	}
	return took / 1000, nil
}

// fillRedis stores values that cannot be compressed.
func fillRedis(socket string, count int) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	failed := make(chan error, 1)
	go func() {
		random, value := rand.NewChaCha8([32]byte{}), make([]byte, valueSize)
		out := bufio.NewWriterSize(conn, 1<<20)
		for i := range count {
			_, _ = random.Read(value)
			key := strconv.Itoa(i)
			fmt.Fprintf(out, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
		}
		failed <- out.Flush()
	}()
	answers := make([]byte, count*len("+OK\r\n"))
	_, err = io.ReadFull(conn, answers)
	if err == nil && bytes.Count(answers, []byte("+OK\r\n")) != count {
		err = errors.New("redis-server: a SET has failed")
	}
	return errors.Join(err, <-failed)
}

// answer restarts the image, and returns the time until the server has answered a query, in ms.
func (b *Bench) answer(image, socket string) (float64, error) {
	_ = os.Remove(socket)
	var text bytes.Buffer
	cmd := exec.Command(b.crak, "restart", image)
	cmd.Stdout, cmd.Stderr = &text, &text
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		killRestarted(cmd.Process)
		_ = cmd.Wait()
	}()
	for time.Since(start) < time.Minute {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			time.Sleep(time.Millisecond) // the socket does not exist yet
			continue
		}
		defer conn.Close()
		_ = conn.SetDeadline(start.Add(time.Minute))
		if _, err := io.WriteString(conn, "GET 0\r\n"); err != nil {
			return 0, err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || line != fmt.Sprintf("$%d\r\n", valueSize) {
			return 0, fmt.Errorf("redis-server: answered %q: %w: %s", line, err, text.Bytes())
		}
		return float64(time.Since(start)) / ms, nil
	}
	return 0, fmt.Errorf("crak restart: waited a minute for an answer: %s", text.Bytes())
}

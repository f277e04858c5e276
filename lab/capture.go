package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// A capture is the file to which a program writes its output. mark is how far await has read it.
type capture struct {
	path string
	mark int
}

// await waits for a match in the text after the previous match. It reads the file again at every change. When done is
// closed it reads the file once more and gives up.
func (c *capture) await(re *regexp.Regexp, done <-chan struct{}, bound time.Duration) (string, error) {
	var found string
	err := watch(filepath.Dir(c.path), done, bound, func() (bool, error) {
		data, err := os.ReadFile(c.path)
		if err != nil {
			return false, err
		}
		c.mark = min(c.mark, len(data))
		at := re.FindIndex(data[c.mark:])
		if at == nil {
			return false, nil
		}
		found = string(data[c.mark+at[0] : c.mark+at[1]])
		c.mark += at[1]
		return true, nil
	})
	if err != nil {
		return "", fmt.Errorf("no match for %q: %w; there is %q", re, err, c.rest())
	}
	return found, nil
}

// rest is the text after the previous match, for an error message. If the text is long, rest is the end of it.
func (c *capture) rest() []byte {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return nil
	}
	data = data[min(c.mark, len(data)):]
	return bytes.TrimSpace(data[max(len(data)-2000, 0):])
}

var (
	errEnded = errors.New("program has ended")
	errBound = errors.New("time is up")
)

// watch calls look at once and after every change in dir, until look returns true or an error.
func watch(dir string, done <-chan struct{}, bound time.Duration, look func() (bool, error)) error {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	const changes = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE
	if _, err := unix.InotifyAddWatch(fd, dir, changes); err != nil {
		return fmt.Errorf("inotify: %s: %w", dir, err)
	}
	if err := events.SetReadDeadline(time.Now().Add(bound)); err != nil {
		return err
	}
	// When the program ends, a deadline in the past ends the read below.
	over, stop := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-over }()
	go func() {
		defer close(over)
		select {
		case <-done:
			_ = events.SetReadDeadline(time.Unix(1, 0))
		case <-stop:
		}
	}()
	buffer := make([]byte, 4096)
	for {
		if ok, err := look(); ok || err != nil {
			return err
		}
		if _, err := events.Read(buffer); err == nil {
			continue
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("inotify: %w", err)
		}
		if ok, err := look(); ok || err != nil {
			return err
		}
		select {
		case <-done:
			return errEnded
		default:
			return errBound
		}
	}
}

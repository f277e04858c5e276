package image

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// The file processes.json has one line for each process: a JSON object. So neither the writer nor a reader needs the text of more
// than one process in memory.

// Bounds of processes.json, in bytes.
const (
	maxProcess   = maxGroup  // of a line
	maxProcesses = 512 << 20 // of the file
)

// writeProcesses writes processes.json.
func (p *place) writeProcesses(all []Process) (FileSum, error) {
	f, err := p.create(processesFile)
	if err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", processesFile, err)
	}
	defer f.Close()
	sum, size, within := sha256.New(), int64(0), new(budget)
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	for i := range all {
		text, err := encodeJSON(&all[i])
		if err == nil { // Open decodes it too: Commit must not accept an image that Open refuses
			err = decodeWithin(text, new(Process), within)
		}
		if size += int64(len(text)); err == nil && (len(text) > maxProcess || size > maxProcesses) {
			err = fmt.Errorf("%d bytes, %d of them for one process", size, len(text))
		}
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			return FileSum{}, fmt.Errorf("%s: pid %d: %w", processesFile, all[i].Pid, err)
		}
	}
	if err := w.Flush(); err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", processesFile, err)
	}
	if err := f.Sync(); err != nil {
		return FileSum{}, fmt.Errorf("%s: %w", processesFile, err)
	}
	return FileSum{processesFile, size, hex.EncodeToString(sum.Sum(nil))}, nil
}

// readProcesses reads processes.json into the group, and checks the file's sum.
func (i *Image) readProcesses() error {
	if i.Manifest.processesInGroup() {
		return nil
	}
	f, size, err := i.openFile(processesFile)
	if err != nil {
		return err
	}
	defer f.Close()
	want := i.Manifest.file(processesFile)
	if err := want.matchSize(size); err != nil {
		return err
	}
	if size > maxProcesses {
		return fmt.Errorf("%d bytes: more than %d", size, maxProcesses)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size)); err != nil {
		return err
	}
	if err := want.match(size, sum.Sum(nil)); err != nil {
		return err
	}
	i.Group.Processes, err = decodeProcesses(io.NewSectionReader(f, 0, size))
	return err
}

// decodeProcesses decodes the lines of processes.json.
func decodeProcesses(r io.Reader) (all []Process, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxProcess)
	within := new(budget)
	for lines.Scan() {
		var p Process
		if err := decodeWithin(bytes.TrimSpace(lines.Bytes()), &p, within); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(all)+1, err)
		}
		all = append(all, p)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: more than %d bytes", len(all)+1, maxProcess)
	}
	return all, lines.Err()
}

// Package host describes the properties of a machine that a restart depends on. A checkpoint records them in the image, and a
// restart compares them with those of its own machine.
package host

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// Read describes this machine. XFeatures and XSaveSize stay 0: they are read from a signal frame.
func Read() (image.Host, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return image.Host{}, fmt.Errorf("uname: %w", err)
	}
	h := image.Host{
		Kernel:   unix.ByteSliceToString(u.Release[:]),
		Machine:  machine,
		Hostname: unix.ByteSliceToString(u.Nodename[:]),
	}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return image.Host{}, err
	}
	defer f.Close()
	if h.CPUFeatures, err = cpuFeatures(f); err != nil {
		return image.Host{}, fmt.Errorf("/proc/cpuinfo: %w", err)
	}
	code, err := VDSO(os.Getpid())
	if err == nil && code != nil {
		sum := sha256.Sum256(code)
		h.VDSOSum = hex.EncodeToString(sum[:])
	}
	return h, err
}

// machine is the output of uname -m. It is not taken from uname(2), because personality(2) can change the result of that.
var machine = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]

// cpuFeatures reads the flags of the first processor, sorted.
func cpuFeatures(r io.Reader) ([]string, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<16)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if name = strings.TrimSpace(name); name == "flags" || name == "Features" {
			features := strings.Fields(value)
			slices.Sort(features)
			return features, nil
		}
	}
	return nil, lines.Err()
}

// VDSO returns the content of the vDSO of process pid, or nil if the process has none.
func VDSO(pid int) ([]byte, error) {
	mappings, err := proc.Read(pid, "maps", proc.Maps)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(mappings, func(m proc.Mapping) bool { return m.Path == "[vdso]" })
	if i < 0 {
		return nil, nil
	}
	code := make([]byte, mappings[i].Size())
	local := []unix.Iovec{{Base: &code[0], Len: uint64(len(code))}}
	// A process that is not dumpable cannot open its own /proc/PID/mem.
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(mappings[i].Start), Len: len(code)}}, 0)
	if err == nil && n != len(code) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("vdso: %w", err)
	}
	return code, nil
}

// Missing lists the features of want that have lacks, in order.
func Missing(want, have image.Host) []string {
	var missing []string
	for _, feature := range want.CPUFeatures {
		if !slices.Contains(have.CPUFeatures, feature) {
			missing = append(missing, feature)
		}
	}
	return missing
}

package program

import (
	"bytes"
	"encoding/binary"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestHeader compares every constant of interp.h with the Go mirror.
func TestHeader(t *testing.T) {
	text, err := os.ReadFile("../interp/src/interp.h")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{
		"MAGIC": wireMagic, "VERSION": wireVersion, "BOOT_PROGRAM": BootProgram,
		"ORDER_SIZE": OrderSize, "LOAD_SIZE": loadSize, "PROGRAM_SIZE": programSize,
		"INSTRUCTION_SIZE": instructionSize, "REPORT_SIZE": ReportSize,
		"CALL": uint64(Call), "THREAD": uint64(Thread), "PROCESS": uint64(Process), "ARRIVE": uint64(Arrive),
		"AWAIT": uint64(Await), "JUMP": uint64(Jump), "LOAD": uint64(Load),
		"EXPECT_OK": uint64(ExpectOK), "EXPECT_VALUE": uint64(ExpectValue), "EXPECT_ANY": uint64(ExpectAny),
		"EXPECT_NOTICE": uint64(ExpectNotice),
		"FAILED":        uint64(Failed), "NOTICE": uint64(Notice), "STAGE": uint64(Stage),
		"BOOT_ORDER": BootOrder, "BOOT_MAP": BootMap, "BOOT_READ": BootRead, "BOOT_PROTECT": BootProtect, "BOOT_LOAD": BootLoad,
	}
	line := regexp.MustCompile(`(?m)^(?:#define |\t)INTERP_(\w+)(?: =)? (0x[0-9a-f]+|[0-9]+)u?\b`)
	seen := 0
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		got, err := strconv.ParseUint(m[2], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		expected, ok := want[m[1]]
		if !ok {
			t.Errorf("INTERP_%s is not in wire.go", m[1])
		} else if got != expected {
			t.Errorf("INTERP_%s: %#x in interp.h, %#x in Go", m[1], got, expected)
		}
		seen++
	}
	if seen != len(want) {
		t.Errorf("%d constants in interp.h, %d in Go", seen, len(want))
	}
}

func TestEncode(t *testing.T) {
	s := small()
	l := s.Measure(100).Move(0x10000000)
	load := s.Encode(l)
	if got := l.Load; got != 0x10001000 {
		t.Errorf("load at %#x", got)
	}
	n := binary.NativeEndian
	if magic, programs := n.Uint32(load), n.Uint64(load[8:]); magic != wireMagic || programs != l.Load+loadSize {
		t.Errorf("magic %#x, programs at %#x", magic, programs)
	}
	first := load[loadSize+2*programSize:]
	if number := n.Uint32(first); number != 257 {
		t.Errorf("first instruction: call %d, not openat", number)
	}
	path := n.Uint64(first[32:]) - l.Data
	if got := s.Data[path:][:5]; !bytes.Equal(got, []byte("/etc\x00")) {
		t.Errorf("openat: path %q", got)
	}
	second := first[instructionSize:]
	if from, slot := n.Uint32(second[8:]), n.Uint64(second[24:]); from != 1 || slot != 0 {
		t.Errorf("fchdir: from %#x, result %d", from, slot)
	}
	pointer := load[l.Data-l.Load:][s.Pointers[0].At:]
	if got := n.Uint64(pointer); got != l.Area {
		t.Errorf("pointer: %#x, not the area's address", got)
	}
}

func TestReport(t *testing.T) {
	want := Report{Kind: Failed, Tid: 412, Program: 1, Instruction: 7, Result: -12}
	if got, ok := DecodeReport(want.Bytes()); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := DecodeReport(want.Bytes()[:20]); ok {
		t.Error("20 bytes are a report")
	}
}

package image

import (
	"context"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/format2 anew: only as long as format 2 is in no release")

// goldenContent is small, because testdata has the image, with binary files as hex.
var goldenContent = []content{
	{ProcessSpace(412), []Run{{Start: 0x500000, Length: 0x2000, KeepZero: true}}, false},
	{MemorySpace(3), []Run{{Start: 0x1000, Length: 0x1000}}, false},
	{ObjectSpace(7), []Run{{Start: 0x1000, Length: 100}}, true},
}

// TestFormats reads an image of each format, as the first version of crak with this format wrote it.
func TestFormats(t *testing.T) {
	const newest = "testdata/format2"
	if *update {
		saveGolden(t, writeImage(t, t.TempDir(), Options{Compress: true, Workers: 1}, goldenContent), newest)
	}
	for _, golden := range []string{"testdata/format1", newest} {
		t.Run(filepath.Base(golden), func(t *testing.T) { readGolden(t, golden) })
	}
}

func readGolden(t *testing.T, golden string) {
	i, err := Open(loadGolden(t, golden))
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := i.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(goodGroup(), i.Group); diff != "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
	codecs := make(map[Codec]bool)
	for f, err := range i.Frames("") {
		if err != nil {
			t.Fatal(err)
		}
		codecs[f.Codec] = true
	}
	if len(codecs) != 3 {
		t.Errorf("codecs %v, want all three", codecs)
	}
	for _, c := range goldenContent {
		checkContent(t, i, c.space, c.runs)
	}
}

// isText tells whether testdata has a file unchanged, not as hex.
func isText(name string) bool { return filepath.Ext(name) == ".json" }

func saveGolden(t *testing.T, from, to string) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range list(t, from) {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if !isText(name) {
			text = toHex(text)
			name += ".hex"
		}
		if err := os.WriteFile(filepath.Join(to, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func loadGolden(t *testing.T, from string) string {
	dir := t.TempDir()
	for _, name := range list(t, from) {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil && !isText(name) {
			name = strings.TrimSuffix(name, ".hex")
			text, err = hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// toHex writes 32 bytes per line.
func toHex(b []byte) []byte {
	var text []byte
	for len(b) > 0 {
		n := min(32, len(b))
		text = hex.AppendEncode(text, b[:n])
		text = append(text, '\n')
		b = b[n:]
	}
	return text
}

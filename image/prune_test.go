package image

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	var path string
	for range 5 {
		path = goodImage(t, dir, Options{})
	}
	program := filepath.Dir(path)
	if err := os.WriteFile(filepath.Join(program, "2", manifestFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Prune(path, 2); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, program), []string{"2", "4", "5", "latest"}; !slices.Equal(got, want) {
		t.Errorf("after Prune: %q, want %q", got, want) // the broken image 2 is neither counted nor removed
	}
	i, err := Open(program)
	if err != nil {
		t.Fatal(err)
	}
	i.Close()
	if i.Path != path {
		t.Errorf("newest image: %s, want %s", i.Path, path)
	}
}

// TestPruneKilled: what a killed Prune leaves is no image, and the next image removes it.
func TestPruneKilled(t *testing.T) {
	dir := t.TempDir()
	first := goodImage(t, dir, Options{})
	program := filepath.Dir(first)
	if err := os.Rename(first, filepath.Join(program, ".1"+partialSuffix)); err != nil {
		t.Fatal(err)
	}
	goodImage(t, dir, Options{})
	if got, want := names(t, program), []string{"2", "latest"}; !slices.Equal(got, want) {
		t.Errorf("after the next image: %q, want %q", got, want)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

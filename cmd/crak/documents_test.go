package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var fileInText = regexp.MustCompile(`[a-z0-9_*/]+\.(go|c|S|h|txtar|pml)\b`)

// TestPackageDocs checks that a doc.go with a list of the files of its package names every one, and no other.
func TestPackageDocs(t *testing.T) {
	docs, err := filepath.Glob("../../*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := filepath.Glob("../../*/*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	lists := 0
	for _, doc := range append(docs, inner...) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		_, list, found := bytes.Cut(text, []byte("\n// The files, by concept:"))
		if !found {
			if _, list, found = bytes.Cut(text, []byte("\n// # The files\n")); !found {
				continue
			}
		}
		lists++
		var files []string
		for _, pattern := range []string{"*.go", "*.c", "*.S", "*.h"} {
			found, err := filepath.Glob(filepath.Join(filepath.Dir(doc), pattern))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
		files = slices.DeleteFunc(files, func(f string) bool { return f == doc || strings.HasSuffix(f, "_test.go") })
		patterns := fileInText.FindAllString(string(list), -1)
		for _, f := range files {
			if !slices.ContainsFunc(patterns, func(p string) bool { ok, _ := filepath.Match(p, filepath.Base(f)); return ok }) {
				t.Errorf("%s does not name %s", doc, filepath.Base(f))
			}
		}
		for _, p := range patterns {
			if ok := slices.ContainsFunc(files, func(f string) bool { ok, _ := filepath.Match(p, filepath.Base(f)); return ok }); !ok && !strings.Contains(p, "/") {
				t.Errorf("%s names %s, which does not exist", doc, p)
			}
		}
	}
	if lists == 0 {
		t.Error("no doc.go with a list of files")
	}
}

// TestDocuments checks that every file exists that a document names: with its path, or in a list behind the path of another one.
func TestDocuments(t *testing.T) {
	for _, document := range []string{"README.md", "DESIGN.md", "FORMAT.md"} {
		text, err := os.ReadFile("../../" + document)
		if err != nil {
			t.Fatal(err)
		}
		for _, quoted := range regexp.MustCompile("`[^`\n]+`").FindAllString(string(text), -1) {
			name := strings.Trim(quoted, "`")
			if fileInText.FindString(name) != name {
				continue
			}
			found := false
			for _, pattern := range []string{name, "*/" + name, "*/*/" + name} {
				files, err := filepath.Glob("../../" + pattern)
				found = found || err == nil && len(files) > 0
			}
			if !found {
				t.Errorf("%s names %s, which does not exist", document, name)
			}
		}
	}
}

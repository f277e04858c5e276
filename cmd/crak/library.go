package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// library is libcrak.so, so that crak alone is enough.
//
//go:embed embed/libcrak.so
var library []byte

const libraryName = "libcrak.so"

// libraryPath is where the loader can find libcrak.so of this very version: beside crak or in the lib
// directory beside its own, where make and make install put it; else a copy in the user's cache, or in /tmp. An image maps
// it from there again, so the path must last.
func libraryPath() (string, error) {
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		for _, path := range []string{filepath.Join(dir, libraryName), filepath.Join(dir, "..", "lib", libraryName)} {
			if content, err := os.ReadFile(path); err == nil && bytes.Equal(content, library) && isPreloadPath(path) {
				return filepath.Clean(path), nil
			}
		}
	}
	if cache, err := os.UserCacheDir(); err == nil && isPreloadPath(cache) {
		return unpackLibrary(filepath.Join(cache, "crak"))
	}
	return unpackLibrary(filepath.Join("/tmp", "crak-"+strconv.Itoa(os.Getuid())))
}

// isPreloadPath: LD_PRELOAD is a list, and knows names like $LIB (ld.so(8)).
func isPreloadPath(path string) bool { return !strings.ContainsAny(path, " :$\t\n") }

// ownDirectory makes a directory that nobody else can put anything into.
func ownDirectory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) || info.Mode()&0o022 != 0 || !info.IsDir() {
		return fmt.Errorf("%q is open to other users", path)
	}
	return nil
}

// unpackLibrary keeps a copy under base, in a directory that is named for its content.
func unpackLibrary(base string) (string, error) {
	sum := sha256.Sum256(library)
	dir := filepath.Join(base, hex.EncodeToString(sum[:8]))
	for _, d := range []string{base, dir} {
		if err := ownDirectory(d); err != nil {
			return "", fmt.Errorf("%s: %w", libraryName, err)
		}
	}
	path := filepath.Join(dir, libraryName)
	if content, err := os.ReadFile(path); err == nil && bytes.Equal(content, library) {
		return path, nil
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", fmt.Errorf("%s: %w", libraryName, err)
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(library); err != nil {
		return "", fmt.Errorf("%s: %w", libraryName, err)
	}
	if err := f.Chmod(0o755); err != nil {
		return "", fmt.Errorf("%s: %w", libraryName, err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("%s: %w", libraryName, err)
	}
	return path, os.Rename(f.Name(), path)
}

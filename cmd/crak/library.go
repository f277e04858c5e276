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
	"syscall"
)

// library is libcrak.so, so that crak alone is enough.
//
//go:embed embed/libcrak.so
var library []byte

const libraryName = "libcrak.so"

// libraryPath is where the loader can find libcrak.so of this very version: beside crak or in the lib
// directory beside its own, where make and make install put it; else a copy in the user's cache. An image maps
// it from there again, so the path must last.
func libraryPath() (string, error) {
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		for _, path := range []string{filepath.Join(dir, libraryName), filepath.Join(dir, "..", "lib", libraryName)} {
			if content, err := os.ReadFile(path); err == nil && bytes.Equal(content, library) {
				return filepath.Clean(path), nil
			}
		}
	}
	return unpackLibrary()
}

// unpackLibrary keeps a copy in a directory of ours that is named for its content.
func unpackLibrary() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = filepath.Join(os.TempDir(), "crak-"+strconv.Itoa(os.Getuid()))
	}
	sum := sha256.Sum256(library)
	dir := filepath.Join(cache, "crak", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("%s: %w", libraryName, err)
	}
	if info, err := os.Lstat(dir); err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
		return "", fmt.Errorf("%s: %q belongs to another user", libraryName, dir)
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

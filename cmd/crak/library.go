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

	"crak.dev/crak/image"
)

// library is the content of libcrak.so. crak therefore works without an installed libcrak.so.
//
//go:embed embed/libcrak.so
var library []byte

const libraryName = "libcrak.so"

// libraryPath returns the path of a libcrak.so with the same content as library. It looks in crak's directory and in ../lib, where
// make and make install put the file. Otherwise it makes a copy in the user's cache directory, or in /tmp if the loader
// could not take that path. A restart maps the file from the same path again, so the file must not be temporary.
func libraryPath() (string, error) {
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		for _, path := range []string{filepath.Join(dir, libraryName), filepath.Join(dir, "..", "lib", libraryName)} {
			if content, err := os.ReadFile(path); err == nil && bytes.Equal(content, library) && isPreloadPath(path) {
				return filepath.Clean(path), nil
			}
		}
	}
	if cache, err := os.UserCacheDir(); err == nil && isPreloadPath(cache) && isOurs(cache) {
		return unpackLibrary(filepath.Join(cache, "crak"))
	}
	return unpackLibrary(filepath.Join("/tmp", "crak-"+strconv.Itoa(os.Getuid())))
}

// isOurs tells whether no other user could replace a directory, or the nearest directory above it that exists.
func isOurs(dir string) bool {
	for dir != "/" && !exists(dir) {
		dir = filepath.Dir(dir)
	}
	return image.CheckDirectory(dir) == nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isPreloadPath tells whether LD_PRELOAD can contain a path: it is a list, and tokens like $LIB are expanded (ld.so(8)).
func isPreloadPath(path string) bool { return !strings.ContainsAny(path, " :$\t\n") }

// ownDirectory makes a directory in which only its owner can create files. If it exists, it checks that.
func ownDirectory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) || info.Mode()&0o022 != 0 || !info.IsDir() {
		return fmt.Errorf("%q belongs to another user, or others may write to it", path)
	}
	return nil
}

// unpackLibrary writes library to a directory below base. The directory's name is a hash of the content.
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

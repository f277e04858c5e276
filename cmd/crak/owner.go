package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"crak.dev/crak/internal/rights"
)

// asOwner makes root's crak become the user to whom an image belongs, for good and without capabilities, and executes the same
// command again. Nothing of the image was read before. asOwner returns nil if crak is not run by root, if the image belongs to
// root, or if the path is wrong: image.Open then reports what is wrong.
func asOwner(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	owner, err := rights.Owner(path)
	if err != nil || owner.UID[0] == 0 {
		return nil
	}
	if err := owner.Become(); err != nil {
		return fmt.Errorf("%s: belongs to user %d, and crak cannot become that user: %w", path, owner.UID[0], err)
	}
	err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	return fmt.Errorf("crak cannot be executed as user %d, to whom %s belongs: %w", owner.UID[0], path, err)
}

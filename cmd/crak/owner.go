package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"crak.dev/crak/internal/rights"
)

// asOwner has root go on as the user to whom an image belongs, for good: it begins this command anew as that user, without
// capabilities, before anything is read of the image. It returns where there is nobody to become; what is wrong
// with the path is for image.Open to say.
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
		return fmt.Errorf("%s: belongs to user %d, whom crak cannot become: %w", path, owner.UID[0], err)
	}
	err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	return fmt.Errorf("crak cannot be run by user %d, to whom %s belongs: %w", owner.UID[0], path, err)
}

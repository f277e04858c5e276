// Package cause takes errors of package os apart for messages that already name the file.
package cause

import (
	"errors"
	"io/fs"
)

// Of returns the error inside an *fs.PathError, without the operation and the path that package os puts in front of it.
// It returns any other error as it is.
func Of(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

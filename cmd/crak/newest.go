package main

import (
	"os"
	"path/filepath"
	"time"

	"crak.dev/crak/image"
)

// newestImage finds the newest image under a CRAK_DIR, "" for the current directory; "" if there is none. One that cannot be read is
// an error: to start from the beginning would throw work away.
func newestImage(dir string) (string, error) {
	latest, err := filepath.Glob(filepath.Join(dir, "*", "latest"))
	if err != nil {
		return "", err
	}
	var newest string
	var created time.Time
	for _, link := range latest {
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			continue
		}
		img, err := image.Open(link)
		if err != nil {
			return "", err
		}
		if img.Manifest.Created.After(created) {
			newest, created = img.Path, img.Manifest.Created
		}
		img.Close()
	}
	return newest, nil
}

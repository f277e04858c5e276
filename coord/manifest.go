package coord

import (
	"os"
	"time"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/host"
)

func (c *checkpoint) manifest(processes []*image.Process) (*image.Manifest, error) {
	h, err := host.Read()
	if err != nil {
		return nil, err
	}
	vdso, err := host.VDSO(os.Getpid()) // the same in every process
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		p.VDSO = vdso
	}
	compress, err := c.compress()
	if err != nil {
		return nil, err
	}
	h.XFeatures, h.XSaveSize = c.xfeatures, c.xsaveSize
	return &image.Manifest{
		Program: processes[0].Threads[0].Comm,
		Root:    processes[0].Pid,
		Host:    h,
		Options: image.SaveOptions{
			SelfContained: c.root().dump.SelfContained,
			WithFiles:     c.root().dump.WithFiles,
			Compress:      compress,
		},
		Statistics: image.Statistics{
			PauseNs: c.pause.Nanoseconds(),
			TotalNs: time.Since(c.begun).Nanoseconds(),
		},
	}, nil
}

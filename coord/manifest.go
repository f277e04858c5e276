package coord

import (
	"os"
	"time"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/host"
)

func (c *checkpoint) manifest(process *image.Process) (*image.Manifest, error) {
	h, err := host.Read()
	if err != nil {
		return nil, err
	}
	if process.VDSO, err = host.VDSO(os.Getpid()); err != nil { // the vDSO is the same in every process
		return nil, err
	}
	compress, err := c.compress()
	if err != nil {
		return nil, err
	}
	h.XFeatures, h.XSaveSize = c.xfeatures, c.xsaveSize
	return &image.Manifest{
		Program: process.Threads[0].Comm,
		Root:    process.Pid,
		Host:    h,
		Options: image.SaveOptions{
			SelfContained: c.member.dump.SelfContained,
			Compress:      compress,
		},
		Statistics: image.Statistics{
			PauseNs: c.pause.Nanoseconds(),
			TotalNs: time.Since(c.begun).Nanoseconds(),
		},
	}, nil
}

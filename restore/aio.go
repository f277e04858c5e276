package restore

import (
	"fmt"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/host"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/restore/compile"
)

// checkAIO refuses a context of kernel AIO whose ring is smaller than the smallest one that this machine makes.
func checkAIO(p *image.Process) (all obstacle.List) {
	for _, m := range p.Mappings {
		if m.Kind != image.MappingAIO {
			continue
		}
		size := uint64(m.End - m.Start)
		processors, err := host.Processors()
		if err == nil && compile.AIORing(compile.AIORequests(size), processors) != size {
			all = append(all, obstacle.Obstacle{Pid: int(p.Pid), Where: fmt.Sprintf("mapping %v-%v", m.Start, m.End),
				What: "AIO context (io_setup(2))", Why: fmt.Sprintf("this machine has %d processors, and its kernel gives each context more memory", processors),
				Do: "restart it on a machine with fewer processors"})
		}
	}
	return all
}

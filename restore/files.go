package restore

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A mappedFile is a file behind mappings, open in one way.
type mappedFile struct {
	path     string
	writable bool
}

// mappedFiles opens the files behind a member's mappings, and its executable.
func (g *group) mappedFiles(p *image.Process) error {
	numbers := make(map[mappedFile]int)
	g.site.files = make(map[int]int)
	for i := range p.Mappings {
		m := &p.Mappings[i]
		if m.Kind != image.MappingFile || withoutFile(m, g.env) {
			continue
		}
		n, err := g.openMapped(numbers, mappedFile{m.File.Path, m.Shared && m.Writable})
		if err != nil {
			return err
		}
		g.site.files[i] = n
	}
	executable := mappedFile{p.Executable.Path, false}
	if p.ExecutableMemory != 0 {
		var err error
		if executable.path, err = g.objects.readOnly(p.ExecutableMemory); err != nil {
			return err
		}
	}
	var err error
	if g.site.executable, err = g.openMapped(numbers, executable); err != nil {
		g.site.executable = -1
		g.env.Notice(fmt.Sprintf("pid %d: its executable %s is not there: /proc/%d/exe leads elsewhere from now on", p.Pid, p.Executable.Path, p.Pid))
	}
	return nil
}

func (g *group) openMapped(numbers map[mappedFile]int, f mappedFile) (int, error) {
	if n, ok := numbers[f]; ok {
		return n, nil
	}
	flags := unix.O_RDONLY
	if f.writable {
		flags = unix.O_RDWR
	}
	file, err := os.OpenFile(f.path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	g.open = append(g.open, file)
	n, err := g.descriptors.place(file)
	if err == nil {
		numbers[f] = n
	}
	return n, err
}

// withoutFile tells whether a mapping comes back as plain memory, because the image has all of it
// and the file is not what it was.
func withoutFile(m *image.Mapping, env *fd.Env) bool {
	return m.SelfContained && fd.CompareFile(*m.File).Change != fd.Same
}

// checkMapped finds the mapped files that are missing or changed, each once.
func checkMapped(p *image.Process, env *fd.Env) (all obstacle.List) {
	seen := make(map[mappedFile]bool)
	for i := range p.Mappings {
		m := &p.Mappings[i]
		if m.Kind != image.MappingFile || withoutFile(m, env) {
			continue
		}
		f := mappedFile{m.File.Path, m.Shared && m.Writable}
		if seen[f] {
			continue
		}
		seen[f] = true
		notice, obstacles := env.Judge(*m.File, f.writable)
		env.Tell(notice)
		for _, o := range obstacles {
			o.Pid, o.Where = int(p.Pid), fmt.Sprintf("mapping %x-%x", uint64(m.Start), uint64(m.End))
			all = append(all, o)
		}
	}
	return all
}

package restore

import (
	"fmt"
	"os"
	"strings"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A mappedFile is a file that is mapped, and how it must be open. Members can have mapped different files of the same path.
type mappedFile struct {
	file     image.File
	writable bool
}

func behind(m *image.Mapping) mappedFile { return mappedFile{*m.File, m.Shared && m.Writable} }

// mappedFiles opens the files that a member maps. Each file is opened once for the group.
func (g *group) mappedFiles(of *member) error {
	of.process.Files = make(map[int]int)
	for i := range of.process.Mappings {
		m := &of.process.Mappings[i]
		if m.Kind != image.MappingFile || g.seen.withoutFile(m) {
			continue
		}
		n, ok := g.numbers[behind(m)]
		if !ok {
			f, err := g.env.OpenMapped(m)
			if err == nil {
				g.mapped[behind(m)] = f
				n, err = g.keep(f)
			}
			if err != nil {
				return fmt.Errorf("mapping %x-%x: %w", uint64(m.Start), uint64(m.End), err)
			}
			g.numbers[behind(m)] = n
		}
		of.process.Files[i] = n
	}
	return nil
}

// executable opens the file that a member runs, and returns its number for the interpreter. A member can run without it: -1. Members that
// execute the same file get the same descriptor, each if its user may have the file.
func (g *group) executable(p *image.Process) (int, error) {
	key := executableFile{p.Executable, p.ExecutableMemory}
	n, known := g.executables[key]
	var f *os.File
	var err error
	switch {
	case p.ExecutableMemory != 0 && known:
	case p.ExecutableMemory != 0:
		f, err = g.objects.readOnly(p.ExecutableMemory, g.img.Group)
	case known:
		err = g.env.CheckExecutable(p)
	default:
		f, err = g.env.OpenExecutable(p)
	}
	if err != nil {
		g.env.Notice(fmt.Sprintf("pid %d: its executable %s cannot be opened (%v): /proc/%d/exe names another file from now on",
			p.Pid, p.Executable.Path, err, p.Pid))
		return -1, nil
	}
	if known {
		return n, nil
	}
	n, err = g.keep(f)
	g.executables[key] = n
	return n, err
}

// An executableFile is what a process executes: a file, or a memory object.
type executableFile struct {
	file   image.File
	memory image.MemoryID
}

// workingDirectory makes the working directory of a member if it was removed before the checkpoint, and removes it again. Members that had
// the same path get the same directory. It returns the descriptor in the interpreter, or -1 if the member enters the directory by its path.
func (g *group) workingDirectory(p *image.Process) (int, error) {
	path, removed := removedDirectory(p.Cwd)
	if !removed {
		return -1, nil
	}
	n, ok := g.removed[path]
	if ok {
		return n, nil
	}
	f, err := fd.RemovedDirectory(path, g.env.Tell)
	if err != nil {
		return -1, fmt.Errorf("working directory %s: %w", p.Cwd, err)
	}
	n, err = g.keep(f)
	g.removed[path] = n
	return n, err
}

// removedDirectory returns the path of a working directory, and whether the directory was removed before the checkpoint.
func removedDirectory(cwd string) (path string, removed bool) {
	path, removed = strings.CutSuffix(cwd, " (deleted)")
	if !removed {
		return cwd, false
	}
	if _, err := os.Lstat(cwd); err == nil {
		return cwd, false // the name really ends with " (deleted)"
	}
	return path, true
}

// ownDirectory tells whether the working directory is in /proc/PID of the member itself. Such a directory exists only while the
// member does.
func ownDirectory(p *image.Process) bool {
	return strings.HasPrefix(p.Cwd+"/", fmt.Sprintf("/proc/%d/", p.Pid))
}

// keep lets the interpreter inherit a file. It returns the file's number in the interpreter.
func (g *group) keep(f *os.File) (int, error) {
	g.open = append(g.open, f)
	return g.descriptors.share(f)
}

// checkMapped finds the mapped files that are missing or changed, each once.
func checkMapped(p *image.Process, env *fd.Env, known *seen) (all obstacle.List) {
	seen := make(map[mappedFile]bool)
	for i := range p.Mappings {
		m := &p.Mappings[i]
		if m.Kind != image.MappingFile {
			continue
		}
		if known.withoutFile(m) {
			if m.Shared { // the program does not see later changes of the file
				env.Tell(fmt.Sprintf("%s: %v; its content comes from the image", m.File.Path, known.compare(*m.File)))
			}
			continue
		}
		if seen[behind(m)] {
			continue
		}
		seen[behind(m)] = true
		for _, o := range known.checkMapped(m, env) {
			o.Pid, o.Where = int(p.Pid), fmt.Sprintf("mapping %x-%x", uint64(m.Start), uint64(m.End))
			all = append(all, o)
		}
	}
	return all
}

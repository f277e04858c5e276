package restore

import (
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A seen has what crak has found out about files. The members of a group have most files in common, and crak looks at each file once.
type seen struct {
	compared map[image.File]fd.Comparison
	mapped   map[mappedFile]obstacle.List
}

func newSeen() *seen {
	return &seen{compared: make(map[image.File]fd.Comparison), mapped: make(map[mappedFile]obstacle.List)}
}

// look returns what is known of a key, or finds it out.
func look[K comparable, V any](known map[K]V, key K, find func() V) V {
	v, ok := known[key]
	if !ok {
		v = find()
		known[key] = v
	}
	return v
}

func (s *seen) compare(f image.File) fd.Comparison {
	return look(s.compared, f, func() fd.Comparison { return fd.CompareFile(f) })
}

// checkMapped returns the obstacles of a mapping's file, which name no process.
func (s *seen) checkMapped(m *image.Mapping, env *fd.Env) obstacle.List {
	return look(s.mapped, behind(m), func() obstacle.List { return env.CheckMapped(m) })
}

// withoutFile tells whether a mapping is restored as anonymous memory: the image has all of its content, and the file has
// changed. A writable shared mapping always needs its file, because what the program writes must reach the file.
func (s *seen) withoutFile(m *image.Mapping) bool {
	return m.SelfContained && !(m.Shared && m.Writable) && s.compare(*m.File).Change != fd.Same
}

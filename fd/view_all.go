package fd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// viewMany is how many descriptors are worth another view, for which the writer opens a directory three times.
const viewMany = 500

// look reads every descriptor of a process, in ascending order. It leaves out descriptors that are closed meanwhile:
// the process may not be frozen. If there are many, several views read them at the same time (Member.Views).
func look(m *Member, seen *Seen) ([]*slot, error) {
	v, err := newView(m, seen)
	if err != nil {
		return nil, fmt.Errorf("descriptors: %w", err)
	}
	defer v.close()
	names, err := v.names()
	if err != nil {
		return nil, fmt.Errorf("descriptors: %w", err)
	}
	views := max(1, min(m.Views, len(names)/viewMany))
	parts := slices.Collect(slices.Chunk(names, max(1, (len(names)+views-1)/views)))
	slots, errs := make([][]*slot, len(parts)), make([]error, len(parts))
	var others sync.WaitGroup
	for i := 1; i < len(parts); i++ {
		others.Go(func() {
			errs[i] = m.as(func() error { // this goroutine has the writer's own rights
				other, err := newView(m, seen)
				if err != nil {
					return fmt.Errorf("descriptors: %w", err)
				}
				defer other.close()
				slots[i], err = other.all(parts[i])
				return err
			})
		})
	}
	if len(parts) > 0 {
		slots[0], errs[0] = v.all(parts[0])
	}
	others.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	all := slices.Concat(slots...)
	if err := m.Overrides.missing(all); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *slot) int { return a.fd - b.fd })
	return all, nil
}

// all reads the descriptors with these names.
func (v *view) all(names []string) ([]*slot, error) {
	all := make([]*slot, 0, len(names))
	for _, name := range names {
		s, err := v.at(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fd %s: %w", name, err)
		}
		if s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

package restore

import (
	"bytes"
	"debug/elf"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/compile"
)

// A foreignVDSO is the vDSO of the kernel under which the program was started. The program has pointers into it. Under another
// kernel its code stays at its address, as ordinary memory. Each function in it jumps to the same function of this kernel's vDSO:
//
//	old place   [zeroes] [old vDSO: clock_gettime: jump ─┐ …]      memory
//	free place  [vvar…]  [our vDSO: clock_gettime  <─────┘ …]      the kernel's
//
// A thread may be inside the old code. It then reads zeroes in place of the old code's data. It reads under a sequence count, sees
// that the count has changed, reads again, finds clock mode 0 (none), and makes the system call.
type foreignVDSO struct {
	address uint64
	code    []byte
}

// adoptVDSO prepares a member for this kernel's vDSO, if the image has another. It changes the member's mappings. Preconditions:
// the interpreter is started, and no program is compiled.
func (g *group) adoptVDSO(of *member) error {
	ours, err := ownVDSO()
	if err != nil {
		return err
	}
	p := of.process
	if len(p.VDSO) == 0 || bytes.Equal(p.VDSO, ours) {
		return nil
	}
	if g.kernelAt == nil { // one place for all members: a child can inherit the mappings
		if g.kernelAt, err = g.interpreter.placeKernel(g.target.Kernel, g.img.Group); err != nil {
			return err
		}
	}
	for i := range p.Mappings {
		m := &p.Mappings[i]
		if m.Kind != image.MappingKernel {
			continue
		}
		if m.Name == "[vdso]" {
			if uint64(m.End-m.Start) < uint64(len(p.VDSO)) {
				return fmt.Errorf("vDSO of %d bytes in a mapping of %d", len(p.VDSO), m.End-m.Start)
			}
			of.vdso = &foreignVDSO{uint64(m.Start), bytes.Clone(p.VDSO)}
			p.Filled[i] = true
		}
		*m = image.Mapping{Start: m.Start, End: m.End, Prot: m.Prot, Kind: image.MappingAnonymous}
	}
	for _, k := range g.kernelAt {
		p.Mappings = append(p.Mappings, image.Mapping{Start: image.Address(k.Start), End: image.Address(k.End), Prot: k.Prot,
			Kind: image.MappingKernel, Name: k.Path})
		if k.Path == "[vdso]" && of.vdso != nil {
			if err := redirect(of.vdso.code, ours, k.Start); err != nil {
				return err
			}
		}
	}
	return nil
}

// placeKernel finds room for the vDSO and its data. The distance between them stays the same: the code depends on it.
func (in *interpreter) placeKernel(kernel []proc.Mapping, g *image.Group) ([]proc.Mapping, error) {
	if len(kernel) == 0 {
		return nil, nil
	}
	first, last := kernel[0].Start, kernel[len(kernel)-1].End
	room, err := compile.Room(last-first, in.mappings, g)
	if err != nil {
		return nil, err
	}
	var placed []proc.Mapping
	for _, k := range kernel {
		k.Start, k.End = k.Start-first+room, k.End-first+room
		placed = append(placed, k)
	}
	return placed, nil
}

// redirect makes each function of an old vDSO jump to the function of the same name in a new one, which is mapped at base. If the
// new one has no such function, it makes the system call instead.
func redirect(old, new []byte, base uint64) error {
	from, err := functions(old)
	if err != nil {
		return fmt.Errorf("vDSO of the image: %w", err)
	}
	to, err := functions(new)
	if err != nil {
		return fmt.Errorf("vDSO: %w", err)
	}
	for name, f := range from {
		var stub []byte
		if target, ok := to[name]; ok {
			stub = jumpTo(base + target.Value)
		} else if number, ok := standsFor[name]; ok {
			stub = systemCall(number)
		}
		if f.Value > uint64(len(old)) || uint64(len(stub)) > min(f.Size, uint64(len(old))-f.Value) {
			return fmt.Errorf("vDSO of the image: %s at %#x: no room in its %d bytes", name, f.Value, f.Size)
		}
		copy(old[f.Value:], stub)
	}
	return nil
}

// functions returns the functions that a vDSO exports. Their values are offsets: a vDSO is linked at address 0.
func functions(code []byte) (map[string]elf.Symbol, error) {
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return nil, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	all := make(map[string]elf.Symbol)
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			all[s.Name] = s
		}
	}
	return all, nil
}

// standsFor maps functions of a vDSO to the system calls that do the same.
var standsFor = map[string]uint32{
	"__vdso_clock_gettime": unix.SYS_CLOCK_GETTIME, "clock_gettime": unix.SYS_CLOCK_GETTIME,
	"__vdso_clock_getres": unix.SYS_CLOCK_GETRES, "clock_getres": unix.SYS_CLOCK_GETRES,
	"__vdso_gettimeofday": unix.SYS_GETTIMEOFDAY, "gettimeofday": unix.SYS_GETTIMEOFDAY,
	"__vdso_getcpu": unix.SYS_GETCPU, "getcpu": unix.SYS_GETCPU,
	"__vdso_time": unix.SYS_TIME, "time": unix.SYS_TIME,
	"__vdso_getrandom": unix.SYS_GETRANDOM, "getrandom": unix.SYS_GETRANDOM,
}

package fd

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// To make a process takes milliseconds, and socketpair(2) needs one with the credentials of the old caller (Env.as). So a process makes as
// many pairs as the group has for these credentials.

// mostPairs is how many pairs a process makes at most.
const mostPairs = 256

// pairKey is what pairs must have in common that one process makes.
type pairKey struct {
	kind  int
	known bool // who
	who   Credentials
}

func pairKeyOf(kind int, who *Credentials) pairKey {
	if who == nil {
		return pairKey{kind: kind}
	}
	return pairKey{kind, true, *who}
}

// unixPairs are the pairs that were made before they are needed.
type unixPairs struct {
	needed map[pairKey]int // how many ends are not made yet; nil: not counted yet
	made   map[pairKey][][2]int32
}

// count counts the ends of pairs in a group. There may be fewer pairs: a connection may need no socketpair(2).
func (p *unixPairs) count(objects map[image.ObjectID]image.Object) {
	p.needed, p.made = make(map[pairKey]int), make(map[pairKey][][2]int32)
	for _, o := range objects {
		if o.Kind != unixObjects.name {
			continue
		}
		if r, err := unixRecord(o); err == nil && r.Peer != 0 && r.Name == nil {
			p.needed[pairKeyOf(r.Type, r.Credentials)]++
		}
	}
}

// close closes the pairs that were not needed.
func (p *unixPairs) close() {
	for _, pairs := range p.made {
		for _, pair := range pairs {
			unix.Close(int(pair[0]))
			unix.Close(int(pair[1]))
		}
	}
	*p = unixPairs{}
}

// socketpair is socketpair(2), in a process with the given credentials.
func (e *Env) socketpair(kind int, who *Credentials) (fds [2]int, err error) {
	if e.pairs.needed == nil {
		e.pairs.count(e.objects)
	}
	key := pairKeyOf(kind, who)
	if len(e.pairs.made[key]) == 0 {
		if e.pairs.made[key], err = e.socketpairs(kind, who, min(max(e.pairs.needed[key]/2, 1), mostPairs)); err != nil {
			return fds, err
		}
	}
	last := len(e.pairs.made[key]) - 1
	pair := e.pairs.made[key][last]
	e.pairs.made[key] = e.pairs.made[key][:last]
	e.pairs.needed[key] -= 2
	return [2]int{int(pair[0]), int(pair[1])}, nil
}

// socketpairs makes some pairs.
func (e *Env) socketpairs(kind int, who *Credentials, count int) ([][2]int32, error) {
	shared, err := unix.Mmap(-1, 0, count*int(unsafe.Sizeof([2]int32{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	defer func() { _ = unix.Munmap(shared) }()
	pairs := unsafe.Slice((*[2]int32)(unsafe.Pointer(&shared[0])), count)
	calls := make([]rawCall, count)
	for i := range calls {
		calls[i] = rawCall{unix.SYS_SOCKETPAIR,
			[4]uintptr{unix.AF_UNIX, uintptr(kind | unix.SOCK_CLOEXEC), 0, uintptr(unsafe.Pointer(&pairs[i]))}, 0}
	}
	err = e.as(who, calls...)
	all := make([][2]int32, 0, count)
	for _, pair := range pairs {
		if pair[1] > 0 { // the calls end with the first that fails
			all = append(all, pair)
		}
	}
	if err != nil {
		(&unixPairs{made: map[pairKey][][2]int32{{}: all}}).close()
		return nil, os.NewSyscallError("socketpair", err)
	}
	return all, nil
}

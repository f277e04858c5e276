package compile

import (
	"encoding/binary"
	"structs"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

const aioCommandPoll = 5 // IOCB_CMD_POLL, since Linux 4.18

// iocb is struct iocb of linux/aio_abi.h.
type iocb struct {
	_          structs.HostLayout
	Data       uint64
	Key, Flags uint32
	Command    uint16
	Priority   int16
	Descriptor uint32
	Buffer     uint64
	Bytes      uint64
	Offset     int64
	_          uint64
	MoreFlags  uint32
	ResFD      uint32
}

var _ [64]byte = [unsafe.Sizeof(iocb{})]byte{}

// AIORequests is the number of requests for which io_setup(2) makes a ring of a size, if the machine has few processors. The smallest
// such number is taken, because fs.aio-max-nr is a limit for the sum of all users.
func AIORequests(size uint64) uint64 {
	before := size - image.PageSize // a smaller ring has at most so many bytes
	if before == 0 {
		return 1
	}
	return (before - image.AIOHeaderSize) / (2 * image.AIOEventSize)
}

// AIORing is the size of the ring that io_setup(2) makes for a number of requests (ioctx_alloc and aio_setup_ring in fs/aio.c).
func AIORing(requests, processors uint64) uint64 {
	return image.PageAlign(image.AIOHeaderSize + 2*image.AIOEventSize*(max(requests, 4*processors)+1))
}

// reserveRing keeps the kernel from choosing the place of a ring for something else, such as another ring.
func (c *compiler) reserveRing(m *image.Mapping) {
	c.b.Call(unix.SYS_MMAP, program.Const(m.Start), program.Const(m.End-m.Start), program.Const(unix.PROT_NONE),
		program.Const(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE), program.Const(-1), program.Const(0)).
		Want(uint64(m.Start)).Note("place of an AIO context")
}

// contexts makes the contexts of kernel AIO. A context's ID is the address of its ring, and the kernel follows mremap(2). A child does not
// inherit contexts, so all children that inherit memory exist already.
func (c *compiler) contexts() {
	for i := range c.process.Mappings {
		m := &c.process.Mappings[i]
		if m.Kind != image.MappingAIO {
			continue
		}
		start, size := program.Const(m.Start), program.Const(m.End-m.Start)
		id := c.set.Variable(make([]byte, 8))
		c.b.Call(unix.SYS_IO_SETUP, program.Const(AIORequests(uint64(m.End-m.Start))), id).
			Note("AIO context: EAGAIN means that fs.aio-max-nr is too small")
		c.b.Call(unix.SYS_MREMAP, c.b.Load(id).Keep().Arg(), size, size, program.Const(unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED), start).
			Want(uint64(m.Start))
		c.unread(m)
	}
}

// unread puts the events that the program has not read into a new context. As many requests are completed first: they take the places
// of the events, so that the kernel does not use them for others. The requests poll crak's socket, which can always be written to.
func (c *compiler) unread(m *image.Mapping) {
	n := len(m.Events) / image.AIOEventSize
	if n == 0 {
		return
	}
	const atOnce = 512
	start := program.Const(m.Start)
	one := c.set.Variable(program.Raw(iocb{Command: aioCommandPoll, Descriptor: uint32(c.target.Control), Buffer: unix.POLLOUT}))
	all := c.set.Variable(make([]byte, 8*min(n, atOnce)))
	for i := range min(n, atOnce) {
		c.set.Point(all.At(uint64(8*i)), one)
	}
	for left := n; left > 0; left -= atOnce {
		c.b.Call(unix.SYS_IO_SUBMIT, start, program.Const(min(left, atOnce)), all).Want(uint64(min(left, atOnce)))
	}
	events := c.set.Variable(make([]byte, len(m.Events)))
	wait := c.set.Struct(unix.Timespec{Sec: 10})
	c.b.Call(unix.SYS_IO_GETEVENTS, start, program.Const(n), program.Const(n), events, wait).Want(uint64(n))
	content := binary.NativeEndian.AppendUint32(nil, 0) // the next event to be read is the first one again
	const headAt = 8
	file := c.b.Call(unix.SYS_MEMFD_CREATE, c.set.String("aio"), program.Const(unix.MFD_CLOEXEC)).Keep().Arg()
	c.b.Call(unix.SYS_WRITE, file, c.set.Bytes(append(content, m.Events...)), program.Const(len(content)+len(m.Events)))
	c.b.Call(unix.SYS_PREAD64, file, program.Const(uint64(m.Start)+image.AIOHeaderSize), program.Const(len(m.Events)), program.Const(len(content)))
	c.b.Call(unix.SYS_PREAD64, file, program.Const(uint64(m.Start)+headAt), program.Const(len(content)), program.Const(0))
	c.b.Call(unix.SYS_CLOSE, file)
}

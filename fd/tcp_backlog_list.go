package fd

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/restore/program"
)

// The list cannot know in which order it will accept the connections. So it finds the client of a connection by the port: it puts
// the two bytes of the port into an address of a table in memory, in which each port has 64 KiB of its own. Only the entries of the clients can be read.
// Without an entry, a call gets the descriptor -1.

// The table is at a multiple of its size. To find such a place, twice as much is mapped, without access.
const tableSize = uint64(portRoom) << 16

// portRoom is what each port has in the table.
const portRoom = 64 << 10

// A portEntry is what the table has about a client. Its beginning is a struct pollfd.
type portEntry struct {
	Fd        int32
	Events    int16
	Revents   int16
	Shutdown  uint32 // the argument of shutdown(2), or shutNothing
	Length    uint32 // of both addresses
	Own, Peer [unix.SizeofSockaddrInet6]byte
}

const (
	entryShutdown = 8
	entryLength   = 12
	entryOwn      = 16
	entryPeer     = entryOwn + unix.SizeofSockaddrInet6
	entrySize     = entryPeer + unix.SizeofSockaddrInet6

	shutNothing = 99 // shutdown(2) refuses it
)

// entryOf returns the address of the entry of a port in the table.
func (x *backlogExchange) entryOf(port uint16) uint64 {
	return x.table + uint64(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, port)))*portRoom
}

// entry is what the table has about a client.
func (w *backlogClient) entry(number int) (e portEntry, err error) {
	e = portEntry{Fd: int32(number), Events: unix.POLLOUT, Shutdown: shutNothing}
	if how := w.inet.shutdown; how != 0 {
		e.Shutdown = uint32(how) - 1
	}
	err = w.withHandle(func(socket int) error {
		own, err := ownAddress(socket)
		if err != nil {
			return err
		}
		peer, err := peerAddress(socket)
		e.Length = own.length
		copy(e.Own[:], own.bytes[:])
		copy(e.Peer[:], peer.bytes[:])
		return err
	})
	return e, err
}

// fillTable makes the entries of the clients. This also shows that the process may copy its own memory.
func (x *backlogExchange) fillTable() error {
	var l callList
	for i, w := range x.clients {
		e, err := w.entry(x.numbers[i+1])
		if err != nil {
			return err
		}
		at := x.entryOf(w.inet.own.Port())
		l.call(unix.SYS_MPROTECT, 0, at, entrySize, unix.PROT_READ|unix.PROT_WRITE)
		l.copyMemory(x.member, at, x.address+l.put(program.Raw(e)), entrySize)
	}
	results, err := l.run(x.member)
	for _, result := range results {
		err = errors.Join(err, failed("table of ports", result))
	}
	return err
}

// backlogPositions are of one connection, in the order of accept(2): offsets in the data, and indexes of calls.
type backlogPositions struct {
	peer, size, entry                uint64
	accepted, received, joined, sent int
}

// list makes the list. If the descriptors do not arrive, or a connection cannot be accepted, nothing else happens to it.
func (x *backlogExchange) list(own SocketFilter) []backlogPositions {
	n := len(x.clients)
	all := make([]backlogPositions, n)
	listening := uint64(x.receive(x.member.Wire, x.address, n+1))
	x.filter(listening, x.onlyClients())
	x.call(unix.SYS_FCNTL, abi.Result(0), listening, unix.F_SETFL, uint64(x.listener.flags|unix.O_NONBLOCK))
	for i, w := range x.clients {
		x.call(unix.SYS_FCNTL, 0, uint64(x.numbers[i+1]), unix.F_SETFL, uint64(w.flags|unix.O_NONBLOCK))
	}
	linger := x.put(program.Raw([2]int32{1, 0}))
	for i := range all {
		at := &all[i]
		at.peer = x.put(make([]byte, unix.SizeofSockaddrInet6))
		length := x.put(program.Raw(uint32(unix.SizeofSockaddrInet6)))
		at.accepted = x.call(unix.SYS_ACCEPT4, abi.Result(0)|abi.Data(1)|abi.Data(2), listening, at.peer, length, unix.SOCK_CLOEXEC)
		x.lookUp(at)
	}
	for i := range all {
		x.readOne(&all[i], i, linger)
	}
	for i := range all {
		x.joinOne(&all[i], i)
	}
	for i, w := range x.clients {
		x.call(unix.SYS_FCNTL, 0, uint64(x.numbers[i+1]), unix.F_SETFL, uint64(w.flags))
		x.call(unix.SYS_CLOSE, 0, uint64(x.numbers[i+1]))
	}
	x.call(unix.SYS_FCNTL, abi.Result(0), listening, unix.F_SETFL, uint64(x.listener.flags))
	x.filter(listening, own)
	x.call(unix.SYS_CLOSE, abi.Result(0), listening)
	return all
}

// lookUp copies the entry of an accepted connection's client out of the table.
func (x *backlogExchange) lookUp(at *backlogPositions) {
	const port = 2 // offset of the port in a struct sockaddr_in or sockaddr_in6
	at.entry = x.put(program.Raw(portEntry{Fd: -1}))
	portCall := len(x.calls)
	x.copyMemory(x.member, 0, x.address+at.peer+port, 2)
	_, source := x.copyMemory(x.member, x.address+at.entry, x.table, entrySize)
	to := x.calls[portCall].Args[1]
	binary.NativeEndian.PutUint64(x.data[to:], x.address+source+port)
}

// readOne reads a connection, and ends it. The client has no connection then.
func (x *backlogExchange) readOne(at *backlogPositions, i int, linger uint64) {
	server := uint64(at.accepted)
	at.size = x.put(make([]byte, 8))
	x.call(unix.SYS_IOCTL, abi.Result(0)|abi.Data(2), server, unix.TIOCINQ, at.size)
	at.received = x.call(unix.SYS_RECVFROM, abi.Result(0)|abi.Value(2), server, x.place(i), at.size, unix.MSG_DONTWAIT)
	x.call(unix.SYS_CONNECT, abi.Value(0)|abi.Data(1), at.entry, x.put(make([]byte, unix.SizeofSockaddrInet4)), unix.SizeofSockaddrInet4)
	code, length := x.put(make([]byte, 8)), x.put(program.Raw(uint32(4)))
	x.call(unix.SYS_GETSOCKOPT, abi.Value(0)|abi.Data(3)|abi.Data(4), at.entry, unix.SOL_SOCKET, unix.SO_ERROR, code, length)
	x.call(unix.SYS_SETSOCKOPT, abi.Result(0)|abi.Data(3), server, unix.SOL_SOCKET, unix.SO_LINGER, linger, 8)
	x.call(unix.SYS_CLOSE, abi.Result(0), server)
}

// joinOne has the client connect again, and send the same data. bind(2) fails if the program has chosen the port: then the socket still has it.
func (x *backlogExchange) joinOne(at *backlogPositions, i int) {
	const patience = 500 // milliseconds
	length := at.entry + entryLength
	x.call(unix.SYS_BIND, abi.Value(0)|abi.Data(1)|abi.Value(2), at.entry, at.entry+entryOwn, length)
	at.joined = x.call(unix.SYS_CONNECT, abi.Value(0)|abi.Data(1)|abi.Value(2), at.entry, at.entry+entryPeer, length)
	x.call(unix.SYS_POLL, abi.Data(0), at.entry, 1, patience)
	at.sent = x.call(unix.SYS_SENDTO, abi.Value(0)|abi.Value(2), at.entry, x.place(i), at.size, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	x.call(unix.SYS_SHUTDOWN, abi.Value(0)|abi.Value(1), at.entry, at.entry+entryShutdown)
}

// place is where the bytes of a connection are in memory.
func (x *backlogExchange) place(i int) uint64 { return x.room + uint64(i*x.most) }

// filter adds a call that replaces the filter of a socket. Some kernels allow only root to do that. Then another process may connect
// meanwhile, and is accepted earlier than without the checkpoint.
func (x *backlogExchange) filter(socket uint64, f SocketFilter) {
	if len(f) == 0 {
		x.call(unix.SYS_SETSOCKOPT, abi.Result(0)|abi.Data(3), socket, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, x.put(make([]byte, 8)), 4)
		return
	}
	var code []byte
	for _, c := range f {
		code = append(code, program.Raw(unix.SockFilter{Code: uint16(c[0]), Jt: uint8(c[1]), Jf: uint8(c[2]), K: c[3]})...)
	}
	fprog := x.put(program.Raw([2]uint64{uint64(len(f)), x.address + x.put(code)}))
	x.call(unix.SYS_SETSOCKOPT, abi.Result(0)|abi.Data(3), socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog, unix.SizeofSockFprog)
}

// onlyClients is a filter that accepts packets from the ports of the clients.
func (x *backlogExchange) onlyClients() SocketFilter {
	f := SocketFilter{{unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, 0, 0, 0}}
	for i, w := range x.clients {
		f = append(f, [4]uint32{unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, uint32(len(x.clients) - i), 0, uint32(w.inet.own.Port())})
	}
	return append(f, [4]uint32{unix.BPF_RET | unix.BPF_K, 0, 0, 0}, [4]uint32{unix.BPF_RET | unix.BPF_K, 0, 0, ^uint32(0)})
}

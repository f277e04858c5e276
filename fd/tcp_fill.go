package fd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// fill puts the content into the queue. If the peer is filled already, fill also sets the options of both ends, and calls shutdown(2)
// for the directions that had ended.
func (m *madeTCP) fill(o image.Object, e *Env) error {
	r := &m.record
	switch {
	case r.Reconnect:
		if err := m.endReconnect(e); err != nil {
			return err
		}
		o.Size = 0 // the bytes of the old connection are lost
	case r.Outside != nil && !r.Over:
		return m.setOutside(e)
	}
	peer, _ := e.made[r.Peer].(*madeTCP)
	from := m.other
	if peer != nil {
		from = peer.file
	}
	if o.Size > 0 {
		content, err := e.Content(o.ID, int(o.Size))
		if r.Outside != nil && err == nil {
			content = content[:r.Outside.Received]
		}
		if err == nil && from == nil {
			err = errors.New("it has content, and no peer")
		}
		if err == nil {
			err = fillTCP(int(from.Fd()), int(m.file.Fd()), content, r.Late, r.Mark)
		}
		if err != nil {
			return err
		}
	}
	m.done = true
	if peer != nil && !peer.done {
		return nil
	}
	ends := []*madeTCP{m}
	if peer != nil {
		ends = append(ends, peer)
	}
	for _, end := range ends {
		if err := end.record.setOptions(int(end.file.Fd()), e); err != nil {
			return err
		}
	}
	for i, end := range ends {
		how := end.record.Shutdown
		if len(ends) == 2 && ends[1-i].record.Shutdown&2 != 0 {
			how &^= 1 // the peer's FIN does this
		}
		if how == 0 || r.Over {
			continue
		}
		if err := unix.Shutdown(int(end.file.Fd()), int(how)-1); err != nil {
			return os.NewSyscallError("shutdown", err)
		}
	}
	return m.endPeer()
}

// endPeer closes the peer, if it was closed at the checkpoint.
func (m *madeTCP) endPeer() error {
	if m.other == nil {
		return nil
	}
	socket := int(m.other.Fd())
	if m.record.Over {
		if err := abort(socket); err != nil {
			return err
		}
	}
	m.other.Close()
	m.other = nil
	if m.record.Over && m.record.Device != "" {
		if err := unix.BindToDevice(int(m.file.Fd()), m.record.Device); err != nil {
			return fmt.Errorf("network interface %.20q: %w", m.record.Device, err)
		}
	}
	if m.record.Over && m.record.Error == 0 {
		_, err := unix.GetsockoptInt(int(m.file.Fd()), unix.SOL_SOCKET, unix.SO_ERROR)
		return err
	}
	return nil
}

// fillTCP sends bytes from one end of a connection to the other. It makes room only for the bytes that had arrived at the checkpoint, so
// that the late bytes wait at the sender again. If the sender has no room for these, all bytes arrive. Preconditions: the options of
// both ends are set later.
func fillTCP(from, to int, content []byte, late int, mark *tcpMark) error {
	defer makeRoom(to, len(content)-late)()
	defer widen(from)()
	defer push(from)()
	all, last, roomy := len(content), time.Now(), late == 0
	for len(content) > 0 {
		part, flags := mark.next(content, all-len(content))
		n, err := unix.SendmsgN(from, part, nil, nil, flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case err == nil:
			content = content[n:]
			last = time.Now()
			continue
		case err != unix.EAGAIN && err != unix.EINTR:
			return os.NewSyscallError("send", err)
		case time.Since(last) > arriveMost:
			return fmt.Errorf("no room for %d bytes of its queue", len(content))
		case !roomy && time.Since(last) > arriveMost/100:
			defer makeRoom(to, all)()
			roomy = true
		}
		_, _ = peekBytes(to, make([]byte, 1))
		_, _ = awaitEvents(from, unix.POLLOUT, time.Now().Add(10*time.Millisecond))
	}
	return mark.readAgain(to)
}

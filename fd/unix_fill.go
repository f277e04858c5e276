package fd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// fill puts the content into the queue, and then sets the options. If the peer is filled already, fill also calls shutdown(2) for the
// directions that had ended.
func (m *madeUnix) fill(o image.Object, e *Env) error {
	r := &m.record
	if o.Size > 0 || len(r.Messages) > 0 {
		content, err := e.Content(o.ID, int(o.Size))
		if err == nil {
			err = m.receive(content, e)
		}
		if err != nil {
			return err
		}
	}
	m.done = true
	if r.Closed && m.other != nil {
		if r.Reset {
			if err := e.send(int(m.file.Fd()), outgoing{data: []byte{0}}); err != nil {
				return err
			}
		}
		m.other.Close()
		m.other = nil
	}
	if err := r.Filter.attachLast(int(m.file.Fd()), r.FilterLocked); err != nil {
		return err
	}
	ends := []*madeUnix{m}
	if peer, ok := e.made[r.Peer].(*madeUnix); ok && r.Peer != m.id {
		if !peer.done {
			return setOptions(int(m.file.Fd()), r.Options, e, socketOptions)
		}
		ends = append(ends, peer)
	}
	if err := setOptions(int(m.file.Fd()), r.Options, e, socketOptions); err != nil {
		return err
	}
	for _, end := range ends {
		if how := end.record.Shutdown; how != 0 && !end.record.Closed {
			if err := unix.Shutdown(int(end.file.Fd()), int(how)-1); err != nil {
				return os.NewSyscallError("shutdown", err)
			}
		}
	}
	return nil
}

// receive has the peer, or another sender, send the content.
func (m *madeUnix) receive(content []byte, e *Env) error {
	r := &m.record
	if r.Type != unix.SOCK_DGRAM {
		from := m.other
		if peer, ok := e.made[r.Peer].(*madeUnix); ok {
			from = peer.file
		}
		if from == nil {
			return errors.New("it has content, and no peer")
		}
		defer prepareToSend(int(from.Fd()))()
		messages := r.Messages
		if r.Type == unix.SOCK_STREAM && len(messages) == 0 {
			messages = []UnixMessage{{Size: len(content)}}
		}
		all, err := e.outgoing(messages, content)
		if err != nil {
			return err
		}
		return e.send(int(from.Fd()), all...)
	}
	all, err := e.outgoing(r.Messages, content)
	for i := 0; i < len(all) && err == nil; i++ {
		err = m.sendFrom(all[i], r.Messages[i].From, e)
	}
	return err
}

func (e *Env) outgoing(messages []UnixMessage, content []byte) (all []outgoing, err error) {
	for _, message := range messages {
		rights, err := e.rights(message)
		if err != nil {
			return nil, err
		}
		all = append(all, outgoing{data: content[:message.Size], rights: rights, sender: message.Credentials, urgent: message.OutOfBand})
		content = content[message.Size:]
	}
	return all, nil
}

// rights are the descriptors of a message, by their numbers in crak restart.
func (e *Env) rights(m UnixMessage) (all []int, err error) {
	for _, id := range m.Descriptors {
		f, err := e.description(id)
		if err != nil {
			return nil, err
		}
		all = append(all, int(f.Fd()))
	}
	return all, nil
}

// sendFrom sends a datagram from a socket with the name of its sender: a socket of the group if there is one, else a temporary one.
func (m *madeUnix) sendFrom(one outgoing, from *UnixName, e *Env) error {
	if m.other != nil && m.record.PeerName.same(from) {
		defer prepareToSend(int(m.other.Fd()))()
		return e.send(int(m.other.Fd()), one)
	}
	if m.bound != nil {
		one.to = m.bound
	}
	for _, made := range e.made {
		if s, ok := made.(*madeUnix); ok && s.record.Type == unix.SOCK_DGRAM && s.record.Name.same(from) && (one.to != nil || s.record.Peer == m.id) {
			if s.record.Peer == m.id {
				one.to = nil
			}
			defer prepareToSend(int(s.file.Fd()))()
			return e.send(int(s.file.Fd()), one)
		}
	}
	if one.to == nil {
		return errors.New("nobody can send to it: it has no name")
	}
	s, err := newUnix(unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer s.Close()
	if from != nil {
		bound, err := e.bind(int(s.Fd()), withoutFile(from))
		if err != nil {
			return err
		}
		defer bound.close()
	}
	defer prepareToSend(int(s.Fd()))()
	return e.send(int(s.Fd()), one)
}

func (m *madeUnix) close() {
	for _, f := range []*os.File{m.file, m.other} {
		if f != nil {
			f.Close()
		}
	}
	m.bound.close()
	m.otherBound.close()
}

package fd

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// keeperWireMost is the most bytes of a message. Content is in a memfd that comes with the message.
const keeperWireMost = 16 << 10

// sendTo sends a message with descriptors to a socket of SOCK_SEQPACKET.
func sendTo(socket int, message any, fds []int) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		if err = unix.Sendmsg(socket, text, rights, nil, unix.MSG_NOSIGNAL); err != unix.EINTR {
			return os.NewSyscallError("sendmsg", err)
		}
	}
}

// receiveFrom receives a message with at most one descriptor. It returns io.EOF when the other end is closed.
func receiveFrom(socket int, message any) (files []*os.File, err error) {
	text, rights := make([]byte, keeperWireMost), make([]byte, unix.CmsgSpace(4))
	var n, length, flags int
	for {
		n, length, flags, _, err = unix.Recvmsg(socket, text, rights, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	if all, err := unix.ParseSocketControlMessage(rights[:length]); err == nil && len(all) == 1 {
		fds, _ := unix.ParseUnixRights(&all[0])
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "descriptor"))
		}
	}
	switch {
	case n == 0:
		err = io.EOF
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errors.New("a message is too long")
	default:
		err = json.Unmarshal(text[:n], message)
	}
	if err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// memoryWith makes a memfd with this content.
func memoryWith(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("content", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "content")
	if _, err := f.WriteAt(content, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// contentOf reads size bytes of the only file. Another process may change the file meanwhile.
func contentOf(files []*os.File, size int) ([]byte, error) {
	if len(files) != 1 || size < 0 || size > tcpQueueMost {
		return nil, errors.New("keeper: no content")
	}
	content := make([]byte, size)
	_, err := files[0].ReadAt(content, 0)
	return content, err
}

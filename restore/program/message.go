package program

import "golang.org/x/sys/unix"

// Message puts a struct msghdr into the data, for a message of one byte and some descriptors (SCM_RIGHTS in unix(7)). To receive such
// a message, only the number of descriptors matters.
func (s *Set) Message(descriptors ...int) Arg {
	vector := s.Variable(Raw([2]uint64{1: 1}))
	s.Point(vector, s.Variable(make([]byte, 8)))
	header := Raw(struct {
		Length      uint64
		Level, Type int32
	}{uint64(unix.CmsgLen(4 * len(descriptors))), unix.SOL_SOCKET, unix.SCM_RIGHTS})
	for _, n := range descriptors {
		header = append(header, Raw(int32(n))...)
	}
	space := unix.CmsgSpace(4 * len(descriptors))
	control := s.Variable(append(header, make([]byte, space-len(header))...))
	message := s.Variable(Raw([7]uint64{3: 1, 5: uint64(space)}))
	s.Point(message.At(16), vector)
	s.Point(message.At(32), control)
	return message
}

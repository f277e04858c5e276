package fd

const (
	// ptyFull is how many bytes the queue of a terminal holds (N_TTY_BUF_SIZE of the kernel, less 1). Further bytes wait in the kernel's
	// buffers before the queue.
	ptyFull = 4095

	// ptyQueue is how many bytes can wait on their way to one side: in the queue, and in the buffers before it (ptySizes).
	ptyQueue = ptyFull + 2*(8192+ptyPass)

	// ptyPass is how many bytes of one write(2) one buffer takes at most. The kernel's worker moves them to the queue at once: it holds
	// the lock of the modes meanwhile (termios_rwsem).
	ptyPass = 1792

	// ptyPieces is how often a terminal has to be read until it is empty. While the worker moves the buffers' content to the queue, a
	// read may get the content of one buffer alone. There are 33 buffers at most.
	ptyPieces = 48

	// ptyLines is how many lines are read one by one. Together with ptyPieces these are fewer than the pipe has buffers.
	ptyLines = 200
)

// ptySizes are the sizes of the writes that put the most bytes into an empty terminal. The kernel allocates a buffer of the size of a
// write unless all buffers together have more than 8,192 bytes, and a buffer holds twice its size (drivers/tty/tty_buffer.c).
//   - The first four writes fill the queue. After them the last buffer has room for 1 byte or for 1,025.
//   - The next write needs a new buffer in any case, so from here on two writes fill one buffer.
//   - The buffers have 8,192 bytes before the last one is allocated, which is as large as it can be.
var ptySizes = []int{
	1024, 1024, 1024, 1023,
	1280, 1280,
	1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024,
	768, 768,
	ptyPass, ptyPass,
}

// ptyWrites are the sizes of the writes that put this many bytes into an empty terminal.
func ptyWrites(bytes int) (sizes []int) {
	for _, size := range ptySizes {
		if bytes > 0 {
			sizes = append(sizes, min(size, bytes))
			bytes -= size
		}
	}
	if bytes > 0 { // more than there is room for: the write of these fails
		sizes = append(sizes, bytes)
	}
	return sizes
}

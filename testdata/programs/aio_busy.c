/*
 * A context of kernel AIO that cannot come back. The argument says why:
 *	busy	two requests are under way
 *	forked	a child has the ring of its parent's context
 */
#include "aio.h"

int main(int argc, char **argv)
{
	aio_context_t context = make_context(20);
	int ends[2];
	struct iocb ready_to_read, unread;
	struct io_event event[4];
	pid_t pid;

	CHECK(argc == 2 && pipe2(ends, O_CLOEXEC) == 0);
	if (!strcmp(argv[1], "forked")) {
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			await_go();
			_exit(0);
		}
		ready();
		reap(pid, 0);
		pass();
	}
	ready_to_read = request(IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 1);
	unread = request(IOCB_CMD_POLL, ends[1], (void *)POLLOUT, 0, 2);
	submit(context, &ready_to_read);
	submit(context, &ready_to_read);
	submit(context, &unread);
	ready();
	await_go();
	EQUAL(write(ends[1], "x", 1), 1);
	EQUAL(syscall(SYS_io_getevents, context, 3, 4, event, NULL), 3);
	EQUAL(event[0].data, 2);
	EQUAL(event[1].data, 1);
	EQUAL(event[2].data, 1);
	EQUAL(event[1].obj, (uintptr_t)&ready_to_read);
	pass();
}

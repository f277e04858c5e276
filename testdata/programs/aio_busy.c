/*
 * A context of kernel AIO that cannot come back. The argument says why:
 *	busy	two requests are under way
 *	forked	a child has the ring of its parent's context
 * or that comes back:
 *	timed	there is always a request under way, which a timer completes
 *	disk	there are always writes and reads of a disk under way
 */
#include "aio.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

/* Waits for a timer again and again, with a request that adds one to an eventfd when it is complete. */
static void timed(aio_context_t context)
{
	struct itimerspec often = {{0, 40000000}, {0, 40000000}};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), done = eventfd(0, 0);
	struct io_event event[2];
	uint64_t n;

	CHECK(timer >= 0 && done >= 0 && timerfd_settime(timer, 0, &often, NULL) == 0);
	ready();
	do {
		struct iocb one = request(IOCB_CMD_POLL, timer, (void *)POLLIN, 0, 5);
		struct iocb *all = &one;

		one.aio_flags = IOCB_FLAG_RESFD;
		one.aio_resfd = done;
		EQUAL(syscall(SYS_io_submit, context, 1, &all), 1);
		EQUAL(read(done, &n, sizeof n), sizeof n);
		EQUAL(n, 1);
		EQUAL(syscall(SYS_io_getevents, context, 0, 2, event, NULL), 1);
		EQUAL(event[0].data, 5);
		EQUAL(read(timer, &n, sizeof n), sizeof n);
	} while (access("go", F_OK));
	pass();
}

#define BLOCKS 16
#define BLOCK 4096

/* Writes each block of a file anew again and again, reads it, and compares. All blocks are under way at the same time. */
static void disk(void)
{
	static char written[BLOCKS][BLOCK] __attribute__((aligned(BLOCK))), got[BLOCKS][BLOCK] __attribute__((aligned(BLOCK)));
	static struct iocb each[BLOCKS];
	aio_context_t context = make_context(BLOCKS);
	int file = open("blocks", O_RDWR | O_CREAT | O_DIRECT, 0600);
	struct io_event event;
	unsigned long turns = 0, i;

	CHECK(file >= 0);
	for (i = 0; i < BLOCKS; i++) {
		fill(written[i], BLOCK, i);
		each[i] = request(IOCB_CMD_PWRITE, file, written[i], BLOCK, i);
		each[i].aio_offset = i * BLOCK;
		submit(context, &each[i]);
	}
	ready();
	for (; turns % BLOCKS || access("go", F_OK); turns++) {
		int reads;

		EQUAL(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
		i = event.data;
		EQUAL(event.res, BLOCK);
		reads = each[i].aio_lio_opcode == IOCB_CMD_PWRITE;
		if (!reads) {
			CHECK(memcmp(written[i], got[i], BLOCK) == 0);
			fill(written[i], BLOCK, turns);
		}
		each[i].aio_lio_opcode = reads ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
		each[i].aio_buf = (uintptr_t)(reads ? got[i] : written[i]);
		submit(context, &each[i]);
	}
	CHECK(turns > 2 * BLOCKS);
	pass();
}

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
	if (!strcmp(argv[1], "disk"))
		disk();
	if (!strcmp(argv[1], "timed"))
		timed(context);
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

/*
 * Contexts of kernel AIO without a request under way: one that was never used, one whose events were read, one with events that
 * were not read, one whose ring has wrapped around, one of several pages, and one of a child. A thread sleeps in io_getevents.
 */
#include "aio.h"

#include <pthread.h>
#include <sched.h>

#define UNREAD 5
#define MOST 4096

static int file;
static aio_context_t slept;

static void take(aio_context_t context, uint64_t data, long result)
{
	struct io_event event;

	EQUAL(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
	EQUAL(event.data, data);
	EQUAL(event.res, result);
}

static void write_and_read(aio_context_t context, uint64_t data)
{
	char text[8] = "written", got[8];
	struct iocb out = request(IOCB_CMD_PWRITE, file, text, 8, data), in = request(IOCB_CMD_PREAD, file, got, 8, data + 1);

	submit(context, &out);
	take(context, data, 8);
	submit(context, &in);
	take(context, data + 1, 8);
	EQUAL(memcmp(text, got, 8), 0);
}

static void leave_unread(aio_context_t context, uint64_t first)
{
	for (int i = 0; i < UNREAD; i++) {
		struct iocb one = request(IOCB_CMD_PREAD, file, NULL, 0, first + i);

		submit(context, &one);
	}
}

static void take_unread(aio_context_t context, uint64_t first)
{
	for (int i = 0; i < UNREAD; i++)
		take(context, first + i, 0);
}

static struct iocb polls[MOST];

/* fill adds requests that wait, on each processor: the kernel keeps some of the places for each. */
static long fill_room(aio_context_t context, int fd)
{
	cpu_set_t all, one;
	long n = 0;

	EQUAL(sched_getaffinity(0, sizeof all, &all), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
		for (; n < MOST; n++) {
			struct iocb *next = &polls[n];

			*next = request(IOCB_CMD_POLL, fd, (void *)POLLIN, 0, 1);
			if (syscall(SYS_io_submit, context, 1, &next) != 1)
				break;
		}
		EQUAL(errno, EAGAIN);
	}
	EQUAL(sched_setaffinity(0, sizeof all, &all), 0);
	return n;
}

/* room returns how many more requests can be under way. If first is not 0, it takes UNREAD events that are there. It leaves no
 * request and no event. */
static long room(aio_context_t context, uint64_t first)
{
	int ends[2];
	long n;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	n = fill_room(context, ends[0]);
	EQUAL(write(ends[1], "x", 1), 1);
	if (first)
		take_unread(context, first);
	for (long i = 0; i < n; i++)
		take(context, 1, POLLIN | POLLRDNORM);
	close(ends[0]);
	close(ends[1]);
	return n;
}

static void *sleeps(void *argument)
{
	mark("asleep");
	take(slept, 77, 0);
	return argument;
}

static int other(long unused)
{
	aio_context_t own = make_context(10);

	write_and_read(own, 1);
	leave_unread(own, 50);
	mark("other");
	await_go();
	take_unread(own, 50);
	write_and_read(own, 3);
	EQUAL(syscall(SYS_io_destroy, own), 0);
	return unused;
}

static const unsigned sizes[] = {1, 60, 128, 1000};
#define CONTEXTS (sizeof sizes / sizeof sizes[0])

int main(void)
{
	aio_context_t unused, used[CONTEXTS];
	long rooms[CONTEXTS];
	pid_t pid;
	pthread_t thread;
	struct iocb last;

	file = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	CHECK(file >= 0);
	pid = child(other, 0);
	await_mark("other");
	unused = make_context(3);
	slept = make_context(3);
	for (unsigned i = 0; i < CONTEXTS; i++) {
		used[i] = make_context(sizes[i]);
		write_and_read(used[i], 10 * i);
		rooms[i] = room(used[i], 0);
	}
	for (int i = 0; i < 100; i++) /* the ring has 127 places */
		write_and_read(used[0], i);
	leave_unread(used[0], 200);
	leave_unread(used[3], 100);
	CHECK(pthread_create(&thread, NULL, sleeps, NULL) == 0);
	await_mark("asleep");
	ready();
	await_go();
	last = request(IOCB_CMD_PREAD, file, NULL, 0, 77);
	submit(slept, &last);
	CHECK(pthread_join(thread, NULL) == 0);
	EQUAL(room(used[0], 200), rooms[0] - UNREAD);
	take_unread(used[3], 100);
	write_and_read(unused, 1);
	for (unsigned i = 0; i < CONTEXTS; i++) {
		write_and_read(used[i], 1000 + i);
		EQUAL(room(used[i], 0), rooms[i]);
		EQUAL(syscall(SYS_io_destroy, used[i]), 0);
	}
	reap(pid, 0);
	pass();
}

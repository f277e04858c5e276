/*
 * eventfds: count, semaphore, flags, readiness, a dup, one that a child shares, and threads and a child that are blocked in read
 * and write.
 */
#include "group.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

static const uint64_t most = UINT64_MAX - 1;
static int count, semaphore, copy, empty, full, common;

static uint64_t take(int fd)
{
	uint64_t n;

	EQUAL(read(fd, &n, sizeof n), sizeof n);
	return n;
}

static void put(int fd, uint64_t n)
{
	EQUAL(write(fd, &n, sizeof n), sizeof n);
}

static int events(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void *reads(void *unused)
{
	EQUAL(take(empty), 11);
	return unused;
}

static void *writes(void *unused)
{
	put(full, 5);
	return unused;
}

static int shares(long unused)
{
	(void)unused;
	EQUAL(take(common), 4);
	put(count, 1);
	EQUAL(fcntl(semaphore, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	return 0;
}

int main(void)
{
	pthread_t reader, writer;
	pid_t other;

	count = eventfd(7, 0);
	semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
	copy = fcntl(count, F_DUPFD_CLOEXEC, 100);
	empty = eventfd(0, 0);
	full = eventfd(0, 0);
	common = eventfd(0, 0);
	CHECK(count >= 0 && semaphore >= 0 && copy >= 100 && empty >= 0 && full >= 0 && common >= 0);
	put(full, most);
	other = child(shares, 0);
	CHECK(pthread_create(&reader, 0, reads, 0) == 0);
	CHECK(pthread_create(&writer, 0, writes, 0) == 0);
	await_call(other, SYS_read);
	ready();
	await_go();
	EQUAL(events(count), POLLIN | POLLOUT);
	EQUAL(events(empty), POLLOUT);
	EQUAL(events(full), POLLIN);
	EQUAL(fcntl(semaphore, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(count, F_GETFL) & O_NONBLOCK, 0);
	put(common, 4);
	reap(other, 0);
	EQUAL(take(copy), 8);
	for (int i = 0; i < 3; i++)
		EQUAL(take(semaphore), 1);
	EQUAL(read(semaphore, &(uint64_t){0}, 8), -1);
	EQUAL(errno, EAGAIN);
	EQUAL(take(full), most);
	CHECK(pthread_join(writer, 0) == 0);
	EQUAL(take(full), 5);
	put(empty, 11);
	CHECK(pthread_join(reader, 0) == 0);
	pass();
}

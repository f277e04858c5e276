/* FIFOs between processes: bytes in flight, a reader in open(2) that no writer has joined yet, and one side only. */
#include "group.h"

#include <poll.h>

#include <sys/stat.h>

static int opener(long number)
{
	char byte;
	int fd;

	fd = open("waiting", O_RDONLY);
	CHECK(fd >= 0);
	EQUAL(read(fd, &byte, 1), 1);
	EQUAL(byte, 'w');
	EQUAL(read(fd, &byte, 1), 0);
	return number;
}

static int reader(long number)
{
	char got[16];
	int fd = open("flight", O_RDONLY);

	CHECK(fd >= 0);
	mark("reader");
	await_go();
	await_mark("closed");
	EQUAL(read(fd, got, sizeof got), 9);
	CHECK(memcmp(got, "in flight", 9) == 0);
	EQUAL(read(fd, got, 1), 0);
	return number;
}

static int hung_up(int fd)
{
	struct pollfd end = {fd, POLLIN, 0};

	CHECK(poll(&end, 1, 0) >= 0);
	return end.revents & POLLHUP;
}

int main(void)
{
	pid_t one, other;
	int flight, alone, fd, left;
	char got[16];

	CHECK(mkfifo("waiting", 0600) == 0 && mkfifo("flight", 0600) == 0 && mkfifo("alone", 0600) == 0);
	one = child(opener, 1);
	other = child(reader, 2);
	flight = open("flight", O_WRONLY | O_CLOEXEC);
	CHECK(flight >= 0);
	await_mark("reader");
	EQUAL(write(flight, "in flight", 9), 9);
	alone = open("alone", O_RDONLY | O_NONBLOCK);
	CHECK(alone >= 0);
	CHECK(mkfifo("left", 0600) == 0);
	left = open("left", O_RDONLY | O_NONBLOCK);
	CHECK(left >= 0 && close(open("left", O_WRONLY)) == 0);
	await_call(one, SYS_openat);
	ready();
	await_go();
	CHECK(close(flight) == 0);
	mark("closed");
	reap(other, 2);
	fd = open("waiting", O_WRONLY);
	EQUAL(write(fd, "w", 1), 1);
	CHECK(close(fd) == 0);
	reap(one, 1);
	CHECK(!hung_up(alone)); /* nobody has ever opened it for writing */
	CHECK(hung_up(left));
	EQUAL(read(alone, got, sizeof got), 0);
	fd = open("alone", O_WRONLY);
	EQUAL(write(fd, "now", 3), 3);
	EQUAL(read(alone, got, sizeof got), 3);
	pass();
}

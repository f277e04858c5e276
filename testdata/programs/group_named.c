/*
 * One of two programs that are started separately and share a FIFO: `group_named writer` and `group_named reader`. At READY a
 * part of what was written is still in the FIFO. The writer exits with status 3, after the reader has read everything.
 */
#include "group.h"

#define FIRST 100
#define READ_FIRST 60
#define ALL 1000

static void write_numbers(int fd, int from, int to)
{
	for (int n = from; n < to; n++)
		EQUAL(write(fd, &n, sizeof n), (ssize_t)sizeof n);
}

static void read_numbers(int fd, int from, int to)
{
	int got;

	for (int n = from; n < to; n++) {
		EQUAL(read(fd, &got, sizeof got), (ssize_t)sizeof got);
		EQUAL(got, n);
	}
}

static void writer(void)
{
	int fd = open("fifo", O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	write_numbers(fd, 0, FIRST);
	ready();
	await_go();
	write_numbers(fd, FIRST, ALL);
	await_mark("all-read");
	say("PASS\n");
	_exit(3);
}

static void reader(void)
{
	int fd = open("fifo", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	read_numbers(fd, 0, READ_FIRST);
	ready();
	await_go();
	read_numbers(fd, READ_FIRST, ALL);
	mark("all-read");
	pass();
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	if (strcmp(argv[1], "writer") == 0)
		writer();
	reader();
}

/*
 * Pipes between processes: full, in packets, resized, at their end, broken, read by many, and a stream whose bytes are counted.
 * Some members are blocked in read(2) and write(2).
 */
#include "group.h"

#include <poll.h>

enum { FULL, PACKETS, LARGE, LAST, BROKEN, QUEUE, EMPTY, BLOCKED, STREAM, ECHO, PIPES };
enum { READERS = 4, BIG = 300 * 1024, CAPACITY = 65536 };

static int ends[PIPES][2];

static char byte_at(size_t i) { return (char)(i * 7 + i / 251); }

/* keep closes all ends but these: end e of pipe p is 2 * p + e. */
static void keep(int one, int other)
{
	for (int i = 0; i < 2 * PIPES; i++)
		if (i != one && i != other)
			close(ends[i / 2][i % 2]);
}

#define READ(p) (2 * (p))
#define WRITE(p) (2 * (p) + 1)

static void put_bytes(int fd, size_t from, size_t count)
{
	static char bytes[BIG];

	for (size_t i = 0; i < count; i++)
		bytes[i] = byte_at(from + i);
	EQUAL(write(fd, bytes, count), count);
}

static void expect_bytes(int fd, size_t from, size_t count)
{
	char got[4096];

	for (size_t at = 0; at < count;) {
		ssize_t n = read(fd, got, sizeof got < count - at ? sizeof got : count - at);

		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			EQUAL(got[i], byte_at(from + at + i));
		at += n;
	}
}

/* Has filled the pipe, and is blocked with a page more. */
static int blocked_writer(long unused)
{
	(void)unused;
	keep(WRITE(BLOCKED), -1);
	put_bytes(ends[BLOCKED][1], 0, CAPACITY);
	put_bytes(ends[BLOCKED][1], CAPACITY, 4096);
	return 1;
}

static int blocked_reader(long unused)
{
	(void)unused;
	keep(READ(EMPTY), -1);
	expect_bytes(ends[EMPTY][0], 0, 10);
	return 2;
}

/* Several of these are blocked in one pipe. Each takes one message, whose value it exits with. */
static int queue_reader(long unused)
{
	uint64_t value;

	(void)unused;
	keep(READ(QUEUE), -1);
	EQUAL(read(ends[QUEUE][0], &value, sizeof value), sizeof value);
	return value;
}

static int packet_reader(long unused)
{
	char got[CAPACITY];

	(void)unused;
	keep(READ(PACKETS), -1);
	await_go();
	EQUAL(read(ends[PACKETS][0], got, sizeof got), 5);
	EQUAL(read(ends[PACKETS][0], got, sizeof got), 4096);
	EQUAL(read(ends[PACKETS][0], got, sizeof got), 1);
	EQUAL(read(ends[PACKETS][0], got, sizeof got), 0);
	return 4;
}

/* Writes to a pipe that nobody reads any more: SIGPIPE ends it. */
static int broken_writer(long unused)
{
	(void)unused;
	keep(WRITE(BROKEN), -1);
	signal(SIGPIPE, SIG_DFL);
	mark("broken");
	await_mark("unread");
	await_go();
	(void)!write(ends[BROKEN][1], "x", 1);
	fail("no SIGPIPE");
}

/* Writes numbers until go. */
static int producer(long unused)
{
	uint64_t n = 0;

	(void)unused;
	keep(WRITE(STREAM), READ(ECHO));
	do
		for (int i = 0; i < 700; i++, n++)
			EQUAL(write(ends[STREAM][1], &n, sizeof n), sizeof n);
	while (access("go", F_OK));
	CHECK(close(ends[STREAM][1]) == 0);
	for (uint64_t want = 0, got; read(ends[ECHO][0], &got, sizeof got) == sizeof got; want += 1000)
		EQUAL(got, want);
	return 6;
}

/* Wants every number in turn, and sends back every thousandth. */
static int consumer(long unused)
{
	uint64_t want = 0, got;
	ssize_t n;

	(void)unused;
	keep(READ(STREAM), WRITE(ECHO));
	CHECK(fcntl(ends[ECHO][1], F_SETFL, O_NONBLOCK) == 0);
	mark("consumer");
	for (; (n = read(ends[STREAM][0], &got, sizeof got)) > 0; want++) {
		EQUAL(n, sizeof got);
		EQUAL(got, want);
		if (want % 1000 == 0 && write(ends[ECHO][1], &want, sizeof want) < 0) {
			EQUAL(errno, EAGAIN);
			CHECK(fcntl(ends[ECHO][1], F_SETFL, 0) == 0);
			EQUAL(write(ends[ECHO][1], &want, sizeof want), sizeof want);
		}
	}
	EQUAL(n, 0);
	return want > 0 ? 7 : 0;
}

int main(int argc, char **argv)
{
	pid_t writer, reader, packets, broken, from, to, many[READERS];
	int sum = 0, status;
	char byte;

	(void)argc, (void)argv;
	signal(SIGPIPE, SIG_IGN);
	for (int p = 0; p < PIPES; p++)
		CHECK(pipe2(ends[p], p == PACKETS ? O_DIRECT : 0) == 0);
	EQUAL(fcntl(ends[LARGE][1], F_SETPIPE_SZ, 512 * 1024), 512 * 1024);
	EQUAL(fcntl(ends[ECHO][1], F_SETPIPE_SZ, 1024 * 1024), 1024 * 1024);
	writer = child(blocked_writer, 0);
	reader = child(blocked_reader, 0);
	packets = child(packet_reader, 0);
	broken = child(broken_writer, 0);
	for (int i = 0; i < READERS; i++)
		many[i] = child(queue_reader, 0);
	from = child(producer, 0);
	to = child(consumer, 0);
	close(ends[STREAM][0]), close(ends[STREAM][1]), close(ends[ECHO][0]), close(ends[ECHO][1]);
	await_mark("broken");
	close(ends[BROKEN][0]);
	mark("unread");
	close(ends[BLOCKED][1]);
	close(ends[PACKETS][0]);
	put_bytes(ends[FULL][1], 0, CAPACITY);
	put_bytes(ends[LARGE][1], 0, BIG);
	EQUAL(write(ends[PACKETS][1], "first", 5), 5);
	put_bytes(ends[PACKETS][1], 0, 4096);
	EQUAL(write(ends[PACKETS][1], "x", 1), 1);
	EQUAL(write(ends[LAST][1], "end", 3), 3);
	CHECK(close(ends[LAST][1]) == 0);
	for (int i = 0; i < READERS; i++)
		await_call(many[i], SYS_read);
	await_call(writer, SYS_write);
	await_call(reader, SYS_read);
	await_mark("consumer");
	ready();
	await_go();

	expect_bytes(ends[FULL][0], 0, CAPACITY);
	EQUAL(fcntl(ends[LARGE][0], F_GETPIPE_SZ), 512 * 1024);
	expect_bytes(ends[LARGE][0], 0, BIG);
	CHECK(close(ends[PACKETS][1]) == 0);
	reap(packets, 4);
	EQUAL(read(ends[LAST][0], &byte, 1), 1);
	EQUAL(byte, 'e');
	EQUAL(read(ends[LAST][0], &byte, 1), 1);
	EQUAL(read(ends[LAST][0], &byte, 1), 1);
	EQUAL(read(ends[LAST][0], &byte, 1), 0);
	EQUAL(write(ends[BROKEN][1], "x", 1), -1);
	EQUAL(errno, EPIPE);
	EQUAL(waitpid(broken, &status, 0), broken);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
	for (uint64_t i = 0; i < READERS; i++) {
		uint64_t value = 10 + i;

		EQUAL(write(ends[QUEUE][1], &value, sizeof value), sizeof value);
	}
	for (int i = 0; i < READERS; i++) {
		EQUAL(waitpid(many[i], &status, 0), many[i]);
		CHECK(WIFEXITED(status));
		sum += WEXITSTATUS(status);
	}
	EQUAL(sum, 10 + 11 + 12 + 13);
	put_bytes(ends[EMPTY][1], 0, 10);
	reap(reader, 2);
	expect_bytes(ends[BLOCKED][0], 0, CAPACITY + 4096);
	reap(writer, 1);
	EQUAL(read(ends[BLOCKED][0], &byte, 1), 0);
	reap(from, 6);
	reap(to, 7);
	pass();
}

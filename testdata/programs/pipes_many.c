/*
 * Thousands of pipes that a child shares: each with bytes of its own, some with packets (O_DIRECT), with another capacity (F_SETPIPE_SZ), or
 * with a closed end. And FIFOs that are open for reading and writing.
 */
#include "group.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* The common size leaves half of the user's pages for pipes (fs.pipe-user-pages-soft) to programs that run beside this one. */
enum { PIPES = 2000, FIFOS = 20, COMMON_SIZE = 16384 };

static int pipes[PIPES][2], fifos[FIFOS];

static void put(int fd, int number)
{
	char text[32];
	int n = snprintf(text, sizeof text, "bytes of %d", number);

	EQUAL(write(fd, text, n), n);
}

static void get(int fd, int number)
{
	char text[32], got[64];
	int n = snprintf(text, sizeof text, "bytes of %d", number);

	EQUAL(read(fd, got, number % 10 == 3 ? (int)sizeof got : n), n);
	CHECK(memcmp(got, text, n) == 0);
}

static void look(int i)
{
	if (i % 10 == 3) { /* a read gets one packet, however long it may be */
		EQUAL(fcntl(pipes[i][1], F_GETFL) & O_DIRECT, O_DIRECT);
		get(pipes[i][0], i);
	}
	if (i % 10 == 5)
		EQUAL(fcntl(pipes[i][0], F_GETPIPE_SZ), 4096);
	if (i < 300 && i % 100 == 7)
		EQUAL(fcntl(pipes[i][0], F_GETPIPE_SZ), 1 << 18);
	get(pipes[i][0], i);
}

/* The child reads every second pipe, the parent the others. */
static int reader(long unused)
{
	(void)unused;
	await_go();
	for (int i = 1; i < PIPES; i += 2)
		look(i);
	return 0;
}

int main(void)
{
	struct rlimit limit;
	char name[20];
	pid_t pid;
	int size;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (int i = 0; i < PIPES; i++) {
		CHECK(pipe2(pipes[i], i % 10 == 3 ? O_DIRECT : 0) == 0);
		size = i % 10 == 5 ? 4096 : i < 300 && i % 100 == 7 ? 1 << 18 : COMMON_SIZE;
		EQUAL(fcntl(pipes[i][0], F_SETPIPE_SZ, size), size);
		put(pipes[i][1], i);
		if (i % 10 == 3)
			put(pipes[i][1], i);
		if (i % 10 == 8)
			CHECK(close(pipes[i][1]) == 0);
	}
	for (int i = 0; i < FIFOS; i++) {
		snprintf(name, sizeof name, "fifo %d", i);
		CHECK(mkfifo(name, 0600) == 0);
		fifos[i] = open(name, O_RDWR);
		CHECK(fifos[i] >= 0);
		put(fifos[i], 10 * i);
		if (i % 2)
			CHECK(unlink(name) == 0);
	}
	pid = child(reader, 0);
	ready();
	await_go();
	for (int i = 0; i < PIPES; i += 2)
		look(i);
	reap(pid, 0);
	for (int i = 8; i < PIPES; i += 10)
		EQUAL(read(pipes[i][0], name, 1), 0);
	for (int i = 0; i < FIFOS; i++)
		get(fifos[i], 10 * i);
	pass();
}

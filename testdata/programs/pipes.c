/*
 * Pipes and FIFOs of the program's own: unread bytes, packets, capacity, flags, ends that are closed, several descriptions
 * of one end, and threads that are blocked on them.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "check.h"

#define READ 0
#define WRITE 1
#define BIG (300 * 1024)

static int plain[2], large[2], packets[2], single[2][2], ended[2], broken[2], twice[2], empty[2], full[2], fifo[2], both, alone;
static int second, shared;

static char byte_at(size_t i) { return (char)(i * 7 + i / 251); }

static void put(int fd, const char *text)
{
	EQUAL(write(fd, text, strlen(text)), strlen(text));
}

static void expect(int fd, const char *text)
{
	char got[64];
	ssize_t n = read(fd, got, sizeof(got));

	EQUAL(n, strlen(text));
	CHECK(memcmp(got, text, n) == 0);
}

static void expect_bytes(int fd, size_t count)
{
	static char got[4096];

	for (size_t at = 0; at < count;) {
		ssize_t n = read(fd, got, sizeof(got));

		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			EQUAL(got[i], byte_at(at + i));
		at += n;
	}
}

static int waiting_in(int fd)
{
	int n = -1;

	CHECK(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

static int reader_tid, writer_tid;

/* Waits until a thread has noted its TID and is blocked in this system call. */
static void await_call(const int *tid, int number)
{
	char path[64], text[128];

	while (__atomic_load_n(tid, __ATOMIC_SEQ_CST) == 0)
		pause_ms(1);
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", *tid);
	do {
		pause_ms(1);
		slurp(path, text, sizeof(text));
	} while (text[0] < '0' || text[0] > '9' || atoi(text) != number);
}

static void *reader(void *unused)
{
	__atomic_store_n(&reader_tid, gettid(), __ATOMIC_SEQ_CST);
	expect(empty[READ], "woken");
	return unused;
}

static void *writer(void *unused)
{
	char page[4096];

	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = byte_at(65536 + i);
	__atomic_store_n(&writer_tid, gettid(), __ATOMIC_SEQ_CST);
	EQUAL(write(full[WRITE], page, sizeof(page)), sizeof(page));
	return unused;
}

static int flags_of(int fd) { return fcntl(fd, F_GETFL); }

/* Opens another description of the same pipe. */
static int reopen(int fd, int flags)
{
	char name[32];
	int other;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	other = open(name, flags);
	CHECK(other >= 0);
	return other;
}

static void build(void)
{
	static char bytes[BIG];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte_at(i);
	CHECK(pipe(plain) == 0);
	put(plain[WRITE], "one");
	put(plain[WRITE], "two");
	CHECK(pipe2(large, O_CLOEXEC) == 0);
	EQUAL(fcntl(large[WRITE], F_SETPIPE_SZ, 512 * 1024), 512 * 1024);
	EQUAL(write(large[WRITE], bytes, BIG), BIG);
	CHECK(pipe2(packets, O_DIRECT) == 0);
	put(packets[WRITE], "first");
	put(packets[WRITE], "the second packet");
	EQUAL(write(packets[WRITE], bytes, 4096), 4096);
	for (int i = 0; i < 2; i++) {
		CHECK(pipe2(single[i], O_DIRECT) == 0);
		put(single[i][WRITE], "one packet");
	}
	CHECK(pipe(ended) == 0);
	put(ended[WRITE], "last words");
	close(ended[WRITE]);
	CHECK(pipe(broken) == 0);
	close(broken[READ]);
	CHECK(pipe(twice) == 0);
	second = reopen(twice[WRITE], O_WRONLY | O_NONBLOCK);
	both = reopen(plain[READ], O_RDWR);
	shared = dup(twice[WRITE]);
	CHECK(pipe(empty) == 0);
	CHECK(pipe(full) == 0);
	EQUAL(write(full[WRITE], bytes, 65536), 65536);
	CHECK(mkfifo("fifo", 0600) == 0 || errno == EEXIST);
	fifo[READ] = open("fifo", O_RDONLY | O_NONBLOCK);
	fifo[WRITE] = open("fifo", O_WRONLY);
	CHECK(fifo[READ] >= 0 && fifo[WRITE] >= 0);
	put(fifo[WRITE], "by name");
	CHECK(mkfifo("alone", 0600) == 0 || errno == EEXIST);
	alone = open("alone", O_RDONLY | O_NONBLOCK);
	CHECK(alone >= 0);
}

int main(void)
{
	pthread_t threads[2];
	char byte;

	signal(SIGPIPE, SIG_IGN);
	build();
	CHECK(pthread_create(&threads[0], NULL, reader, NULL) == 0);
	CHECK(pthread_create(&threads[1], NULL, writer, NULL) == 0);
	await_call(&reader_tid, SYS_read);
	await_call(&writer_tid, SYS_write);
	ready();
	await_go();

	EQUAL(waiting_in(plain[READ]), 6);
	expect(plain[READ], "onetwo");
	put(both, "back");
	expect(both, "back");
	EQUAL(fcntl(large[READ], F_GETPIPE_SZ), 512 * 1024);
	EQUAL(fcntl(plain[READ], F_GETPIPE_SZ), 65536);
	CHECK(fcntl(large[READ], F_GETFD) & FD_CLOEXEC);
	expect_bytes(large[READ], BIG);
	expect(packets[READ], "first");
	expect(packets[READ], "the second packet");
	expect_bytes(packets[READ], 4096);
	CHECK(flags_of(packets[WRITE]) & O_DIRECT);
	put(single[0][WRITE], "another");
	expect(single[0][READ], "one packet");
	expect(single[0][READ], "another");
	EQUAL(read(single[1][READ], &byte, 1), 1); /* and discards the rest of the packet */
	EQUAL(waiting_in(single[1][READ]), 0);
	expect(ended[READ], "last words");
	EQUAL(read(ended[READ], &byte, 1), 0);
	EQUAL(write(broken[WRITE], "x", 1), -1);
	EQUAL(errno, EPIPE);

	/* twice[WRITE] and shared are one description, second is another. */
	CHECK(flags_of(second) & O_NONBLOCK);
	CHECK(!(flags_of(shared) & O_NONBLOCK));
	CHECK(fcntl(shared, F_SETFL, O_NONBLOCK) == 0);
	CHECK(flags_of(twice[WRITE]) & O_NONBLOCK);
	close(twice[WRITE]);
	close(second);
	put(shared, "still");
	expect(twice[READ], "still");
	close(shared);
	EQUAL(read(twice[READ], &byte, 1), 0);

	put(empty[WRITE], "woken");
	CHECK(pthread_join(threads[0], NULL) == 0);
	expect_bytes(full[READ], 65536 + 4096);
	CHECK(pthread_join(threads[1], NULL) == 0);

	expect(fifo[READ], "by name");
	{
		int other = open("alone", O_WRONLY);

		CHECK(other >= 0);
		put(other, "from outside");
		expect(alone, "from outside");
		close(other);
		EQUAL(read(alone, &byte, 1), 0);
	}
	pass();
}

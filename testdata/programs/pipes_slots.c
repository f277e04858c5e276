/*
 * Pipes whose slots are not full of bytes (a slot is a page of the pipe's memory): such a pipe can be full although it has fewer bytes than
 * its capacity. Bytes and packets in one pipe.
 */
#include "check.h"

#include <limits.h>
#include <poll.h>
#include <sys/uio.h>

#define SLOTS 16
#define SIZE 3000

static int unmerged[2], spliced[2], packets[2], begun[2], mixed[2][2];
static char page[SLOTS * 4096] __attribute__((aligned(4096)));

static void put(int fd, const char *text) { EQUAL(write(fd, text, strlen(text)), strlen(text)); }

static void get(int fd, size_t most, const char *text)
{
	char got[64];
	ssize_t n = read(fd, got, most);

	EQUAL(n, strlen(text));
	CHECK(memcmp(got, text, n) == 0);
}

static void full(int fd, size_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	EQUAL(poll(&p, 1, 0), 0);
	CHECK(write(fd, page, size) == -1 && errno == EAGAIN);
}

static void make(int *ends)
{
	CHECK(pipe2(ends, O_NONBLOCK) == 0);
	EQUAL(fcntl(ends[1], F_SETPIPE_SZ, SLOTS * 4096), SLOTS * 4096); /* a user with many pipes gets small ones */
}

static void mode(int fd, int more) { CHECK(fcntl(fd, F_SETFL, O_NONBLOCK | more) == 0); }

static void build(void)
{
	char first[4000];

	for (size_t i = 0; i < sizeof page; i++)
		page[i] = (char)('a' + i % 23);
	make(unmerged);
	make(spliced);
	make(packets);
	make(begun);
	for (int i = 0; i < SLOTS; i++) {
		struct iovec one = {page + i * 4096, 1};

		EQUAL(write(unmerged[1], page, SIZE), SIZE);
		EQUAL(vmsplice(spliced[1], &one, 1, 0), 1);
	}
	mode(packets[1], O_DIRECT);
	for (int i = 0; i < SLOTS; i++)
		EQUAL(write(packets[1], page + i, 1), 1);
	EQUAL(write(begun[1], page, sizeof page), sizeof page);
	EQUAL(read(begun[0], first, sizeof first), sizeof first);
	for (int i = 0; i < 2; i++) {
		make(mixed[i]);
		EQUAL(vmsplice(mixed[i][1], &(struct iovec){"abc", 3}, 1, 0), 3);
		mode(mixed[i][1], O_DIRECT);
		put(mixed[i][1], "de");
		put(mixed[i][1], "f");
		mode(mixed[i][1], 0);
		put(mixed[i][1], "gh");
	}
}

static void check(void)
{
	char got[SLOTS * 4096];

	full(unmerged[1], SIZE);
	full(spliced[1], 1);
	full(packets[1], 1);
	full(begun[1], 4096);
	EQUAL(read(unmerged[0], got, sizeof got), SLOTS * SIZE);
	for (int i = 0; i < SLOTS; i++) {
		CHECK(memcmp(got + i * SIZE, page, SIZE) == 0);
		EQUAL(read(packets[0], got, sizeof got), 1);
		EQUAL(got[0], 'a' + i % 23);
	}
	EQUAL(read(spliced[0], got, sizeof got), SLOTS);
	for (int i = 0; i < SLOTS; i++)
		EQUAL(got[i], 'a' + i * 4096 % 23);
	EQUAL(read(begun[0], got, sizeof got), sizeof page - 4000);
	CHECK(memcmp(got, page + 4000, sizeof page - 4000) == 0);
	get(mixed[0][0], 64, "abcde");
	get(mixed[0][0], 64, "f");
	get(mixed[0][0], 64, "gh");
	get(mixed[1][0], 4, "abcd"); /* the rest of the packet is gone */
	get(mixed[1][0], 64, "f");
	get(mixed[1][0], 1, "g");
	get(mixed[1][0], 64, "h");
}

int main(void)
{
	build();
	check();
	for (int i = 0; i < 2; i++)
		CHECK(close(unmerged[i]) == 0 && close(spliced[i]) == 0 && close(packets[i]) == 0 && close(begun[i]) == 0 &&
			close(mixed[0][i]) == 0 && close(mixed[1][i]) == 0);
	build();
	ready();
	await_go();
	check();
	pass();
}

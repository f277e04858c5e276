/*
 * group_different KIDS EACH: each child opens EACH files, pipes, eventfds, directories and devices, and makes a partner that shares them.
 * No other process has them.
 */
#include "group.h"

#include <sys/eventfd.h>
#include <sys/stat.h>

enum { FIRST = 20 }; /* numbers below are for files that this workload opens for a moment */

static int each;

/* at moves a descriptor to a number. */
static void at(int number, int fd)
{
	CHECK(fd >= 0);
	CHECK(dup3(fd, number, number % 3 == 0 ? O_CLOEXEC : 0) == number);
	CHECK(close(fd) == 0);
}

static void make(int kid, int i)
{
	char name[32], text[32];
	int ends[2], n;

	switch (i % 6) {
	case 0:
		snprintf(name, sizeof name, "file-%d-%d", kid, i);
		at(FIRST + i, open(name, O_RDWR | O_CREAT, 0600));
		CHECK(ftruncate(FIRST + i, 1000) == 0);
		CHECK(lseek(FIRST + i, i, SEEK_SET) == i);
		break;
	case 1:
		at(FIRST + i, eventfd(1000 * kid + i, EFD_NONBLOCK));
		break;
	case 2:
		CHECK(pipe(ends) == 0);
		n = snprintf(text, sizeof text, "%d-%d", kid, i);
		EQUAL(write(ends[1], text, n), n);
		at(FIRST + i, ends[0]);
		at(FIRST + i + 1, ends[1]);
		break;
	case 4:
		at(FIRST + i, open("/dev/null", O_WRONLY | O_APPEND));
		break;
	case 5:
		at(FIRST + i, open(".", O_RDONLY | O_DIRECTORY));
		break;
	}
}

static void look(int kid, int i)
{
	char text[32], got[64];
	uint64_t count;
	struct stat st;
	int n;

	EQUAL(fcntl(FIRST + i, F_GETFD), (FIRST + i) % 3 == 0 ? FD_CLOEXEC : 0);
	switch (i % 6) {
	case 0:
		EQUAL(lseek(FIRST + i, 0, SEEK_CUR), i);
		CHECK(lseek(FIRST + i, i + 1, SEEK_SET) == i + 1);
		break;
	case 1:
		EQUAL(read(FIRST + i, &count, 8), 8);
		EQUAL(count, (uint64_t)(1000 * kid + i));
		break;
	case 2:
		n = snprintf(text, sizeof text, "%d-%d", kid, i);
		EQUAL(read(FIRST + i, got, sizeof got), n);
		CHECK(memcmp(got, text, n) == 0);
		break;
	case 3: /* the kid has read what was in the pipe: the partner reads this */
		EQUAL(write(FIRST + i, "x", 1), 1);
		break;
	case 4:
		EQUAL(fcntl(FIRST + i, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
		break;
	case 5:
		CHECK(fstat(FIRST + i, &st) == 0 && S_ISDIR(st.st_mode));
		break;
	}
}

/* The partner finds what the kid has changed in the descriptions that both share. */
static int partner(long kid)
{
	uint64_t count;
	char got[8];

	mark("partner-%ld", kid);
	await_mark("looked-%ld", kid);
	for (int i = 0; i < each; i++) {
		if (i % 6 == 0)
			EQUAL(lseek(FIRST + i, 0, SEEK_CUR), i + 1);
		if (i % 6 == 1)
			CHECK(read(FIRST + i, &count, 8) == -1 && errno == EAGAIN);
		if (i % 6 == 3)
			EQUAL(read(FIRST + i - 1, got, sizeof got), 1);
	}
	return 7;
}

static int node(long kid)
{
	pid_t other;

	for (int i = 0; i < each; i++)
		make(kid, i);
	other = child(partner, kid);
	await_mark("partner-%ld", kid);
	mark("kid-%ld", kid);
	await_go();
	for (int i = 0; i < each; i++)
		look(kid, i);
	mark("looked-%ld", kid);
	reap(other, 7);
	return 3;
}

int main(int argc, char **argv)
{
	pid_t kids[100];
	int n = argc > 1 ? atoi(argv[1]) : 3;

	each = (argc > 2 ? atoi(argv[2]) : 60) / 6 * 6;
	CHECK(n <= 100);
	for (int i = 0; i < n; i++)
		kids[i] = child(node, i);
	for (int i = 0; i < n; i++)
		await_mark("kid-%d", i);
	ready();
	await_go();
	for (int i = 0; i < n; i++)
		reap(kids[i], 3);
	pass();
}

/*
 * group_many KIDS EACH: the root opens EACH files, eventfds and pipes, and makes KIDS children that inherit them. The children sleep until
 * the file go exists, and then find all descriptors as they were.
 */
#include "group.h"

#include <stdlib.h>
#include <sys/eventfd.h>

static int *fds, each, wake[2];

static int kid(long number)
{
	char c;

	CHECK(close(wake[1]) == 0);
	EQUAL(read(wake[0], &c, 1), 0); /* until the root closes its end */
	for (int i = 0; i < each; i++) {
		if (i % 3 == 0)
			EQUAL(lseek(fds[i], 0, SEEK_CUR), 1000 + i);
		EQUAL(fcntl(fds[i], F_GETFD), i % 2 ? FD_CLOEXEC : 0);
	}
	/* Each child takes one from the count that all share. */
	uint64_t one;

	EQUAL(read(fds[1], &one, 8), 8);
	EQUAL(one, 1);
	return number % 100;
}

int main(int argc, char **argv)
{
	int kids = argc > 1 ? atoi(argv[1]) : 10, ends[2];
	pid_t *pids = calloc(kids, sizeof *pids);
	uint64_t one;

	each = argc > 2 ? atoi(argv[2]) : 10;
	fds = calloc(each + 1, sizeof *fds);
	CHECK(pids && fds && each > 1);
	CHECK(pipe(wake) == 0);
	for (int i = 0; i < each; i++) {
		int close_on_exec = i % 2 ? O_CLOEXEC : 0;
		char name[32];

		snprintf(name, sizeof name, "file-%d", i);
		if (i % 3 == 0) {
			fds[i] = open(name, O_RDWR | O_CREAT | close_on_exec, 0600);
			EQUAL(lseek(fds[i], 1000 + i, SEEK_SET), 1000 + i);
		} else if (i % 3 == 1) {
			fds[i] = eventfd(kids, EFD_SEMAPHORE | EFD_NONBLOCK | (close_on_exec ? EFD_CLOEXEC : 0));
			CHECK(fds[i] >= 0);
		} else {
			CHECK(pipe2(ends, close_on_exec) == 0);
			fds[i] = ends[0];
			CHECK(close(ends[1]) == 0);
		}
	}
	for (int i = 0; i < kids; i++)
		pids[i] = child(kid, i);
	CHECK(close(wake[0]) == 0);
	ready();
	await_go();
	CHECK(close(wake[1]) == 0);
	for (int i = 0; i < kids; i++)
		reap(pids[i], i % 100);
	CHECK(read(fds[1], &one, 8) == -1 && errno == EAGAIN);
	pass();
}

/*
 * File locks between members: POSIX locks by each process, flock(2) and OFD locks by a description that two have, and a member
 * that waits for each kind.
 */
#include "group.h"

#include <sys/file.h>

static int posix, flocked, ofd;

static struct flock range(int type, off_t start, off_t length)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

/* Holds bytes 10 to 19. */
static int holder(long number)
{
	struct flock lock = range(F_WRLCK, 10, 10);

	CHECK(fcntl(posix, F_SETLK, &lock) == 0);
	mark("held");
	await_mark("release");
	return number;
}

static int waiter(long kind)
{
	struct flock lock = range(F_WRLCK, 0, kind == 1 ? 5 : 1);
	int fd = open(kind == 2 ? "flocked" : "ofd", O_RDWR);

	CHECK(fd >= 0);
	if (kind == 1)
		CHECK(fcntl(posix, F_SETLKW, &lock) == 0);
	else if (kind == 2)
		CHECK(flock(fd, LOCK_EX) == 0);
	else
		CHECK(fcntl(fd, F_OFD_SETLKW, &lock) == 0);
	CHECK(access("go", F_OK) == 0);
	return kind;
}

/* Has the descriptions that hold the locks of kinds 2 and 3, too. */
static int sharer(long number)
{
	struct flock lock = range(F_WRLCK, 0, 1);

	mark("sharer");
	await_mark("share");
	CHECK(flock(flocked, LOCK_EX | LOCK_NB) == 0);
	CHECK(fcntl(ofd, F_OFD_SETLK, &lock) == 0);
	return number;
}

static int make(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0);
	return fd;
}

int main(void)
{
	static const long calls[] = {0, SYS_fcntl, SYS_flock, SYS_fcntl};
	struct flock lock = range(F_WRLCK, 0, 10), seen = range(F_WRLCK, 10, 1);
	pid_t hold, share, waits[4];

	posix = make("posix");
	flocked = make("flocked");
	ofd = make("ofd");
	CHECK(fcntl(posix, F_SETLK, &lock) == 0);
	CHECK(flock(flocked, LOCK_EX) == 0);
	lock = range(F_WRLCK, 0, 1);
	CHECK(fcntl(ofd, F_OFD_SETLK, &lock) == 0);
	hold = child(holder, 7);
	share = child(sharer, 8);
	await_mark("held");
	await_mark("sharer");
	for (int kind = 1; kind <= 3; kind++) {
		waits[kind] = child(waiter, kind);
		await_call(waits[kind], calls[kind]);
	}
	ready();
	await_go();
	CHECK(fcntl(posix, F_GETLK, &seen) == 0);
	EQUAL(seen.l_type, F_WRLCK);
	EQUAL(seen.l_pid, hold);
	EQUAL(seen.l_start, 10);
	EQUAL(seen.l_len, 10);
	mark("share");
	reap(share, 8);
	for (int kind = 1; kind <= 3; kind++)
		EQUAL(waitpid(waits[kind], 0, WNOHANG), 0);
	lock = range(F_UNLCK, 0, 10);
	CHECK(fcntl(posix, F_SETLK, &lock) == 0);
	reap(waits[1], 1);
	CHECK(flock(flocked, LOCK_UN) == 0);
	reap(waits[2], 2);
	CHECK(fcntl(ofd, F_OFD_SETLK, &lock) == 0);
	reap(waits[3], 3);
	mark("release");
	reap(hold, 7);
	pass();
}

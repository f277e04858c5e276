/*
 * File locks that several members share: shared locks of each kind and a member that waits for an exclusive one, ranges that were split
 * and joined, locks on a deleted file, and leases, which the kernel breaks with a signal.
 */
#include "group.h"

#include <sys/file.h>

enum { SHARERS = 3 };

static int deleted;

static struct flock range(int type, off_t start, off_t length)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static int make(const char *name, int mode)
{
	int fd = open(name, mode | O_CREAT, 0600);

	CHECK(fd >= 0);
	return fd;
}

static void held(int fd, int command, int type, off_t start, off_t length, int conflict)
{
	struct flock seen = range(type, start, length);

	CHECK(fcntl(fd, command, &seen) == 0);
	EQUAL(seen.l_type, conflict);
}

/* Has each kind of shared lock, and on the deleted file a range of its own. */
static int sharer(long number)
{
	int posix = make("posix", O_RDWR), flocked = make("flocked", O_RDWR), ofd = make("ofd", O_RDWR);
	struct flock lock = range(F_RDLCK, 0, 100), own = range(F_WRLCK, 10 * number, 5);

	CHECK(fcntl(posix, F_SETLK, &lock) == 0);
	CHECK(fcntl(ofd, F_OFD_SETLK, &lock) == 0);
	CHECK(flock(flocked, LOCK_SH) == 0);
	CHECK(fcntl(deleted, F_SETLK, &own) == 0);
	mark("sharer-%ld", number);
	await_mark("end-%ld", number);
	held(deleted, F_GETLK, F_WRLCK, 10 * number, 5, F_UNLCK); /* its own */
	held(deleted, F_GETLK, F_WRLCK, 10 * ((number + 1) % SHARERS), 1, F_WRLCK);
	mark("looked-%ld", number);
	await_mark("leave-%ld", number);
	return 0;
}

static int waiter(long kind)
{
	int fd = make(kind == 0 ? "posix" : kind == 1 ? "flocked" : "ofd", O_RDWR);
	struct flock lock = range(F_WRLCK, 50, 1);

	if (kind == 0)
		CHECK(fcntl(fd, F_SETLKW, &lock) == 0);
	else if (kind == 1)
		CHECK(flock(fd, LOCK_EX) == 0);
	else
		CHECK(fcntl(fd, F_OFD_SETLKW, &lock) == 0);
	CHECK(access("left", F_OK) == 0);
	return 0;
}

static void check_lease(int fd, const char *name, int type, int open_mode)
{
	struct timespec second = {5, 0};
	siginfo_t got;
	sigset_t set;

	EQUAL(fcntl(fd, F_GETLEASE), type);
	CHECK(open(name, open_mode | O_NONBLOCK) == -1 && errno == EWOULDBLOCK);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	EQUAL(sigtimedwait(&set, &got, &second), SIGRTMIN);
	EQUAL(got.si_fd, fd);
	CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
	CHECK(close(open(name, open_mode)) == 0);
}

int main(void)
{
	static const long calls[] = {SYS_fcntl, SYS_flock, SYS_fcntl};
	struct flock lock;
	pid_t sharers[SHARERS], waiters[3], looker;
	int split = make("split", O_RDWR), writes, reads;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	deleted = make("deleted", O_RDWR);
	CHECK(unlink("deleted") == 0);
	for (long i = 0; i < SHARERS; i++) {
		sharers[i] = child(sharer, i);
		await_mark("sharer-%ld", i);
	}
	lock = range(F_WRLCK, 0, 100);
	CHECK(fcntl(split, F_SETLK, &lock) == 0);
	lock = range(F_UNLCK, 20, 10);
	CHECK(fcntl(split, F_SETLK, &lock) == 0);
	lock = range(F_RDLCK, 60, 0);
	CHECK(fcntl(split, F_SETLK, &lock) == 0);
	for (long i = 0; i < 3; i++) {
		waiters[i] = child(waiter, i);
		await_call(waiters[i], calls[i]);
	}
	CHECK(close(make("write lease", O_RDONLY)) == 0 && close(make("read lease", O_RDONLY)) == 0);
	writes = open("write lease", O_RDWR | O_CLOEXEC);
	reads = open("read lease", O_RDONLY | O_CLOEXEC);
	CHECK(fcntl(writes, F_SETSIG, SIGRTMIN) == 0 && fcntl(reads, F_SETSIG, SIGRTMIN) == 0);
	CHECK(fcntl(writes, F_SETLEASE, F_WRLCK) == 0);
	CHECK(fcntl(reads, F_SETLEASE, F_RDLCK) == 0);

	ready();
	await_go();

	check_lease(writes, "write lease", F_WRLCK, O_RDONLY);
	check_lease(reads, "read lease", F_RDLCK, O_WRONLY);
	looker = fork();
	CHECK(looker >= 0);
	if (looker == 0) { /* another process sees the locks of this one */
		held(split, F_GETLK, F_RDLCK, 19, 1, F_WRLCK);
		held(split, F_GETLK, F_WRLCK, 20, 10, F_UNLCK);
		held(split, F_GETLK, F_RDLCK, 59, 1, F_WRLCK);
		held(split, F_GETLK, F_RDLCK, 60, 0, F_UNLCK);
		held(split, F_GETLK, F_WRLCK, 1000000, 1, F_RDLCK);
		_exit(0);
	}
	reap(looker, 0);
	for (long i = 0; i < SHARERS; i++)
		mark("end-%ld", i);
	for (long i = 0; i < SHARERS; i++)
		await_mark("looked-%ld", i);
	for (long i = 0; i < SHARERS; i++) {
		for (int k = 0; k < 3; k++)
			EQUAL(waitpid(waiters[k], 0, WNOHANG), 0);
		if (i == SHARERS - 1)
			mark("left");
		mark("leave-%ld", i);
		reap(sharers[i], 0);
	}
	for (int k = 0; k < 3; k++)
		reap(waiters[k], 0);
	pass();
}

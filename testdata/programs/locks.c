/* File locks that the program holds: POSIX, flock and open file description locks, seen from a child. */
#include "check.h"

#include <sys/file.h>
#include <sys/wait.h>

static struct flock range(short type, off_t start, off_t length)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static int locked(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = range(type, start, length);
	return fcntl(fd, command, &lock) == -1 && (errno == EAGAIN || errno == EACCES);
}

/* Looks from a child process. The child's exit status is 0, or the number of the first lock that is not held. */
static int look(void)
{
	int posix = open("posix.lock", O_RDWR), whole = open("flock.lock", O_RDWR), own = open("ofd.lock", O_RDWR);

	if (!locked(posix, F_SETLK, F_WRLCK, 10, 5))
		return 1;
	if (locked(posix, F_SETLK, F_WRLCK, 15, 5))
		return 2;
	if (!locked(posix, F_SETLK, F_WRLCK, 120, 1) || locked(posix, F_SETLK, F_RDLCK, 120, 1))
		return 3;
	if (!locked(posix, F_SETLK, F_RDLCK, 1000000, 1))
		return 4;
	if (flock(whole, LOCK_SH | LOCK_NB) == 0)
		return 5;
	if (!locked(own, F_OFD_SETLK, F_RDLCK, 5, 1) || locked(own, F_OFD_SETLK, F_WRLCK, 50, 1))
		return 6;
	return 0;
}

static void check_held(void)
{
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0)
		_exit(look());
	CHECK(waitpid(child, &status, 0) == child);
	EQUAL(status >> 8, 0);
}

int main(void)
{
	int posix = open("posix.lock", O_RDWR | O_CREAT, 0600);
	int whole = open("flock.lock", O_RDWR | O_CREAT, 0600);
	int own = open("ofd.lock", O_RDWR | O_CREAT, 0600);
	struct flock locks[] = {range(F_WRLCK, 10, 5), range(F_RDLCK, 100, 100), range(F_WRLCK, 1000, 0), range(F_WRLCK, 0, 10)};

	CHECK(fcntl(posix, F_SETLK, &locks[0]) == 0 && fcntl(posix, F_SETLK, &locks[1]) == 0);
	CHECK(fcntl(posix, F_SETLK, &locks[2]) == 0);
	CHECK(flock(whole, LOCK_EX) == 0);
	CHECK(fcntl(own, F_OFD_SETLK, &locks[3]) == 0);
	check_held();
	ready();
	await_go();
	check_held();
	CHECK(close(whole) == 0);
	CHECK((whole = open("flock.lock", O_RDWR)) >= 0 && flock(whole, LOCK_EX | LOCK_NB) == 0);
	pass();
}

/* Blocked in F_SETLKW and flock on locks that another program holds. With "hold": that other program. */
#include "check.h"

#include <pthread.h>
#include <sys/file.h>

static struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

static int open_file(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "../locks/%s", name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	CHECK(fd >= 0);
	return fd;
}

static volatile int locked[3];

static void *by_fcntl(void *arg)
{
	(void)arg;
	CHECK(fcntl(open_file("posix"), F_SETLKW, &whole) == 0);
	locked[0] = 1;
	return 0;
}

static void *by_flock(void *arg)
{
	(void)arg;
	CHECK(flock(open_file("flock"), LOCK_EX) == 0);
	locked[1] = 1;
	return 0;
}

static void *by_description(void *arg)
{
	(void)arg;
	CHECK(fcntl(open_file("description"), F_OFD_SETLKW, &whole) == 0);
	locked[2] = 1;
	return 0;
}

int main(int argc, char **argv)
{
	void *(*work[3])(void *) = {by_fcntl, by_flock, by_description};
	pthread_t threads[3];

	if (argc > 1 && !strcmp(argv[1], "hold")) {
		for (int i = 0; i < 3; i++)
			work[i](0);
		ready();
		await_go();
		pass(); /* its exit releases the locks */
	}
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], 0, work[i], 0) == 0);
	pause_ms(20);
	ready();
	await_go();
	EQUAL(locked[0] + locked[1] + locked[2], 0);
	say("WAITING\n");
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	EQUAL(locked[0] + locked[1] + locked[2], 3);
	pass();
}

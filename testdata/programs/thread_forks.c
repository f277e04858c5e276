/* Processes whose first new thread forks at once, before pthread_create has returned. No sleep of the grandchildren may be interrupted. */
#include "group.h"

#include <pthread.h>

enum { CHILDREN = 40 };

static void *forks(void *arg)
{
	pid_t pid = child((int (*)(long))(void *)arg, 7);

	reap(pid, 7);
	return 0;
}

static int sleeps(long code)
{
	mark("asleep-%d", getpid());
	await_go();
	return code;
}

static int begins(long unused)
{
	pthread_t thread;

	(void)unused;
	CHECK(pthread_create(&thread, 0, forks, (void *)sleeps) == 0);
	CHECK(pthread_join(thread, 0) == 0);
	return 9;
}

int main(void)
{
	pid_t pids[CHILDREN];

	for (int i = 0; i < CHILDREN; i++)
		pids[i] = child(begins, 0);
	ready();
	for (int i = 0; i < CHILDREN; i++)
		reap(pids[i], 9);
	pass();
}

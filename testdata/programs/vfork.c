/* A thread is blocked in vfork, where it cannot receive a signal, until its child exits. The child sleeps. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>

static char *const sleeper[] = {"sleep", "1000", 0};

static void *in_vfork(void *arg)
{
	pid_t child, *seen = arg;
	int status;

	child = vfork();
	if (child == 0) {
		*seen = getpid();
		syscall(SYS_nanosleep, &(struct timespec){1000, 0}, 0);
		execv("/bin/sleep", sleeper);
		_exit(1);
	}
	CHECK(child > 0);
	CHECK(waitpid(child, &status, 0) == child);
	return 0;
}

int main(void)
{
	static volatile pid_t child;
	pthread_t thread;

	CHECK(pthread_create(&thread, 0, in_vfork, (void *)&child) == 0);
	while (!child)
		pause_ms(1);
	ready();
	await_go();
	CHECK(syscall(SYS_kill, child, 9) == 0);
	CHECK(pthread_join(thread, 0) == 0);
	pass();
}

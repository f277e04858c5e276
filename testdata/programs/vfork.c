/*
 * A thread is blocked in vfork, where it cannot receive a signal, until its child exits. The child sleeps. With an argument, the
 * thread calls vfork again and again, and each child sleeps for that many milliseconds. Another thread must not stand still for
 * long meanwhile.
 */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>

#define LONGEST 3000 /* milliseconds: a freeze that does not succeed ends after 1000 */

static char *const sleeper[] = {"sleep", "1000", 0};
static volatile pid_t child;
static volatile long longest;
static volatile int over;
static long each;

static long milliseconds(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *beat(void *arg)
{
	for (long last = milliseconds(), now; !over; last = now) {
		pause_ms(5);
		now = milliseconds();
		if (now - last > longest)
			longest = now - last;
	}
	return arg;
}

static void *in_vfork(void *arg)
{
	struct timespec sleep = {each ? each / 1000 : 1000, each % 1000 * 1000000};
	int status;
	pid_t made;

	do {
		made = vfork();
		if (made == 0) {
			child = syscall(SYS_getpid);
			syscall(SYS_nanosleep, &sleep, 0);
			if (!each)
				execv("/bin/sleep", sleeper);
			_exit(1);
		}
		CHECK(made > 0);
		CHECK(waitpid(made, &status, 0) == made);
		pause_ms(20);
	} while (each && !over);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread, beating;

	each = argc > 1 ? atol(argv[1]) : 0;
	CHECK(pthread_create(&thread, 0, in_vfork, 0) == 0);
	while (!child)
		pause_ms(1);
	CHECK(pthread_create(&beating, 0, beat, 0) == 0);
	ready();
	await_go();
	over = 1;
	if (!each)
		CHECK(syscall(SYS_kill, child, 9) == 0);
	CHECK(pthread_join(thread, 0) == 0 && pthread_join(beating, 0) == 0);
	if (longest > LONGEST)
		fail("a thread stood still for %ld ms", longest);
	pass();
}

/* Clocks do not go back, and a sleep until an absolute time ends at that time. */
#include "check.h"

#include <pthread.h>

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE};
enum { CLOCKS = sizeof clocks / sizeof clocks[0] };

static double now(clockid_t clock)
{
	struct timespec t;

	CHECK(clock_gettime(clock, &t) == 0);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *sleeper(void *deadline)
{
	struct timespec *t = deadline;

	EQUAL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, t, 0), 0);
	return 0;
}

int main(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	struct timespec deadline;
	pthread_t thread;
	double before[CLOCKS];

	CHECK(clock_gettime(CLOCK_MONOTONIC, &deadline) == 0);
	deadline.tv_sec += 3;
	CHECK(pthread_create(&thread, 0, sleeper, &deadline) == 0);
	for (int i = 0; i < CLOCKS; i++)
		before[i] = now(clocks[i]);
	ready();
	await_go();
	for (int i = 0; i < CLOCKS; i++) {
		double passed = now(clocks[i]) - before[i];

		if (passed < 0 || passed > 300)
			fail("clock %d has gone on by %g s", (int)clocks[i], passed);
	}
	CHECK(pthread_mutex_lock(&mutex) == 0);
	EQUAL(pthread_cond_clockwait(&never, &mutex, CLOCK_MONOTONIC, &deadline), ETIMEDOUT);
	CHECK(pthread_join(thread, 0) == 0);
	CHECK(now(CLOCK_MONOTONIC) >= deadline.tv_sec);
	pass();
}

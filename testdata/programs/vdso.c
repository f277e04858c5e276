/* Two threads read clocks through the vDSO without a pause, and compare them with the system calls. */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>

static volatile int stop;

static double seconds(struct timespec t)
{
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void compare(clockid_t clock)
{
	struct timespec before, between, after;

	CHECK(syscall(SYS_clock_gettime, clock, &before) == 0);
	CHECK(clock_gettime(clock, &between) == 0);
	CHECK(syscall(SYS_clock_gettime, clock, &after) == 0);
	/* A coarse clock is up to one tick, 10 ms, old. */
	if (seconds(before) > seconds(between) + 0.011 || seconds(between) > seconds(after) + 0.011)
		fail("clock %d: %.9f, %.9f, %.9f", clock, seconds(before), seconds(between), seconds(after));
}

static void *reader(void *unused)
{
	while (!stop) {
		struct timespec resolution;
		struct timeval now;
		unsigned cpu;

		for (clockid_t clock = CLOCK_REALTIME; clock <= CLOCK_BOOTTIME; clock++)
			if (clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_THREAD_CPUTIME_ID)
				compare(clock);
		time_t before = time(0); /* a restart may come between two calls */
		CHECK(gettimeofday(&now, 0) == 0);
		time_t after = time(0);
		if (before > now.tv_sec + 1 || now.tv_sec > after + 1)
			fail("time is %ld and then %ld, gettimeofday %ld", (long)before, (long)after, (long)now.tv_sec);
		CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_nsec > 0);
		CHECK(getcpu(&cpu, 0) == 0 && cpu < CPU_SETSIZE);
		EQUAL(memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4), 0);
	}
	return unused;
}

int main(void)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], 0, reader, 0) == 0);
	ready();
	await_go();
	stop = 1;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	pass();
}

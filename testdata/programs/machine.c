/*
 * What a program sees of its machine: files, the host's name, clocks and timers. It begins on one machine and ends on another, whose
 * clocks are far ahead or behind. The argument is the path of a file of 8192 bytes.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

enum { SIZE = 8192 };

static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW};
enum { CLOCKS = sizeof clocks / sizeof clocks[0] };

static double seconds(struct timespec t) { return t.tv_sec + t.tv_nsec / 1e9; }

/* now reads a clock through the vDSO, and compares it with the system call. */
static double now(clockid_t clock)
{
	struct timespec before, t, after;

	CHECK(syscall(SYS_clock_gettime, clock, &before) == 0);
	CHECK(clock_gettime(clock, &t) == 0);
	CHECK(syscall(SYS_clock_gettime, clock, &after) == 0);
	if (seconds(before) > seconds(t) || seconds(t) > seconds(after))
		fail("clock %d: %f, %f, %f", clock, seconds(before), seconds(t), seconds(after));
	return seconds(t);
}

static struct timespec in_200_seconds(clockid_t clock)
{
	struct timespec t;

	CHECK(clock_gettime(clock, &t) == 0);
	t.tv_sec += 200;
	return t;
}

static volatile int woken;

static void *sleep_until(void *deadline)
{
	EQUAL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, deadline, 0), 0);
	woken = 1;
	return 0;
}

/* left checks that a timer of 200 seconds, or the rest of it, is still running. */
static void left(const char *what, struct timespec t)
{
	if (seconds(t) <= 0 || seconds(t) > 200)
		fail("%s has %f s left", what, seconds(t));
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	int in = open(argv[1], O_RDONLY), out = open("out", O_WRONLY | O_CREAT | O_APPEND, 0600);
	char bytes[SIZE], rest[SIZE];
	struct utsname old, new;
	double before[CLOCKS];
	struct itimerspec relative = {.it_value = {200, 0}}, absolute = {.it_value = in_200_seconds(CLOCK_BOOTTIME)};
	struct timespec deadline = in_200_seconds(CLOCK_MONOTONIC);
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	pthread_t thread;
	timer_t timer;

	CHECK(in >= 0 && out >= 0 && read(in, bytes, SIZE / 2) == SIZE / 2);
	char *map = mmap(0, SIZE, PROT_READ, MAP_PRIVATE, in, 0);
	CHECK(map != MAP_FAILED);
	CHECK(write(out, "one\n", 4) == 4);
	int fds[] = {timerfd_create(CLOCK_MONOTONIC, 0), timerfd_create(CLOCK_BOOTTIME, 0)};
	CHECK(timerfd_settime(fds[0], 0, &relative, 0) == 0 && timerfd_settime(fds[1], TFD_TIMER_ABSTIME, &absolute, 0) == 0);
	CHECK(timer_create(CLOCK_BOOTTIME, &none, &timer) == 0 && timer_settime(timer, 0, &relative, 0) == 0);
	CHECK(pthread_create(&thread, 0, sleep_until, &deadline) == 0);
	CHECK(uname(&old) == 0);
	for (int i = 0; i < CLOCKS; i++)
		before[i] = now(clocks[i]);
	ready();
	await_go();
	for (int i = 0; i < CLOCKS; i++) {
		double passed = now(clocks[i]) - before[i];

		if (passed < 0 || passed > 200)
			fail("clock %d has gone on by %f s", (int)clocks[i], passed);
	}
	CHECK(!woken);
	for (int i = 0; i < 2; i++) {
		CHECK(timerfd_gettime(fds[i], &relative) == 0);
		left("timerfd", relative.it_value);
	}
	CHECK(timer_gettime(timer, &relative) == 0);
	left("timer", relative.it_value);
	CHECK(read(in, rest, SIZE / 2) == SIZE / 2 && memcmp(map, bytes, SIZE / 2) == 0 && memcmp(map + SIZE / 2, rest, SIZE / 2) == 0);
	CHECK(write(out, "two\n", 4) == 4);
	CHECK(uname(&new) == 0);
	printf("%s, then %s\n", old.nodename, new.nodename);
	fflush(stdout);
	pass();
}

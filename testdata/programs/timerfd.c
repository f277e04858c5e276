/*
 * timerfds: the time that is left, absolute times, intervals, expirations that were not read, cancel-on-set, disarmed timers,
 * one that a child shares, and a thread that is blocked in read.
 */
#include "group.h"

#include <poll.h>
#include <pthread.h>
#include <sys/timerfd.h>

enum { MS = 1000000 };
static const long long hour = 3600LL * 1000 * MS;
static struct timespec at; /* when `blocked` expires */
static int blocked;

static long long ns(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct timespec from(long long n)
{
	return (struct timespec){n / 1000000000, n % 1000000000};
}

static long long now(int clock)
{
	struct timespec t;

	CHECK(clock_gettime(clock, &t) == 0);
	return ns(t);
}

static int make(int clock, int flags, long long value, long long interval)
{
	struct itimerspec spec = {from(interval), from(value)};
	int fd = timerfd_create(clock, TFD_NONBLOCK);

	CHECK(fd >= 0);
	CHECK(timerfd_settime(fd, flags, &spec, 0) == 0);
	return fd;
}

static long long left(int fd)
{
	struct itimerspec spec;

	CHECK(timerfd_gettime(fd, &spec) == 0);
	return ns(spec.it_value);
}

static int readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0);
}

static uint64_t ticks(int fd)
{
	uint64_t n;

	EQUAL(read(fd, &n, sizeof n), sizeof n);
	return n;
}

/* ends checks at which time of a clock a timer expires. Other processes may run between two calls, so it reads the clock twice. */
static void ends(int fd, int clock, long long least, long long most)
{
	long long before = now(clock), rest = left(fd), after = now(clock);

	if (after + rest < least || before + rest > most)
		fail("expires at %lld to %lld ns, want %lld to %lld", before + rest, after + rest, least, most);
}

static void *sleeps(void *unused)
{
	EQUAL(ticks(blocked), 1);
	CHECK(now(CLOCK_MONOTONIC) >= ns(at));
	return unused;
}

static int shares(long fd)
{
	await_go();
	EQUAL(ticks(fd), 1);
	EQUAL(left(fd), 0);
	mark("read");
	return 0;
}

int main(void)
{
	long long begun = now(CLOCK_MONOTONIC), wall = now(CLOCK_REALTIME);
	int relative = make(CLOCK_MONOTONIC, 0, hour, hour / 2);
	int absolute = make(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, wall + hour, 0);
	long long booted = now(CLOCK_BOOTTIME);
	int boot = make(CLOCK_BOOTTIME, TFD_TIMER_ABSTIME, booted + hour, 0);
	int expired = make(CLOCK_MONOTONIC, 0, 1, 0);
	int many = make(CLOCK_MONOTONIC, 0, 1, 10 * MS);
	int disarmed = timerfd_create(CLOCK_REALTIME, 0);
	int common = make(CLOCK_MONOTONIC, 0, 1, 0);
	int quick[100]; /* some of them expire at the very moment of a checkpoint */
	uint64_t before, after;
	long long rest;
	pthread_t thread;
	pid_t other;

	for (int i = 0; i < 100; i++)
		quick[i] = make(CLOCK_MONOTONIC, 0, 100000, 100000);
	at = from(begun + 700LL * MS);
	blocked = make(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, ns(at), 0);
	CHECK(fcntl(blocked, F_SETFL, 0) == 0);
	while (!readable(expired) || !readable(common))
		pause_ms(1);
	pause_ms(60);
	before = (now(CLOCK_MONOTONIC) - begun) / (10 * MS);
	CHECK(before >= 6);
	other = child(shares, common);
	CHECK(pthread_create(&thread, 0, sleeps, 0) == 0);
	ready();
	await_go();
	CHECK(left(relative) <= hour - 60 * MS);
	ends(relative, CLOCK_MONOTONIC, begun + hour, now(CLOCK_MONOTONIC) + hour); /* later than without the restart */
	ends(absolute, CLOCK_REALTIME, wall + hour - 100 * MS, wall + hour + 100 * MS);
	ends(boot, CLOCK_BOOTTIME, booted + hour - 100 * MS, booted + hour + 100 * MS);
	EQUAL(readable(relative), 0);
	EQUAL(readable(expired), 1);
	EQUAL(ticks(expired), 1);
	EQUAL(read(expired, &after, 8), -1);
	EQUAL(errno, EAGAIN);
	after = ticks(many);
	if (after < before || after > (uint64_t)(now(CLOCK_MONOTONIC) - begun) / (10 * MS) + 2)
		fail("%llu ticks, %llu before", (unsigned long long)after, (unsigned long long)before);
	while ((rest = left(many)) == 0) /* it expires at this very moment */
		pause_ms(1);
	if (rest > 10 * MS)
		fail("%lld ns left", rest);
	for (int i = 0; i < 200; i++) { /* each twice: it is still armed */
		EQUAL(poll(&(struct pollfd){quick[i % 100], POLLIN, 0}, 1, 10000), 1);
		ticks(quick[i % 100]);
	}
	EQUAL(left(disarmed), 0);
	reap(other, 0);
	EQUAL(readable(common), 0);
	CHECK(pthread_join(thread, 0) == 0);
	pass();
}

/* Busy threads: in loops, system calls, malloc, sched_yield, short sleeps, and creation of threads. */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

static volatile int go;

static void *spin(void *arg)
{
	uint64_t x = 1, y = 1, n = 0;
	(void)arg;
	while (!go || n < 1000) {
		x = scramble(x);
		y = scramble(y);
		if (x != y)
			fail("two equal sequences differ after %llu steps", (unsigned long long)n);
		n++;
	}
	return 0;
}

static void *calls(void *arg)
{
	pid_t pid = getpid(), tid = syscall(SYS_gettid);
	char text[64], want[64];
	int fd = open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600); /* has no name, so no other process changes it */

	(void)arg;
	CHECK(fd >= 0);
	for (int n = 0; !go; n++) {
		EQUAL(syscall(SYS_getpid), pid);
		EQUAL(syscall(SYS_gettid), tid);
		snprintf(want, sizeof want, "%063d", n);
		EQUAL(pwrite(fd, want, 64, 64 * (n % 1000)), 64);
		EQUAL(pread(fd, text, 64, 64 * (n % 1000)), 64);
		CHECK(!memcmp(text, want, 64));
		EQUAL(syscall(SYS_close, -1), -1);
		EQUAL(errno, EBADF);
	}
	CHECK(close(fd) == 0);
	return 0;
}

static void *allocate(void *arg)
{
	enum { SLOTS = 500 };
	static __thread uint64_t *slots[SLOTS];
	static __thread size_t sizes[SLOTS];
	uint64_t seed = (uintptr_t)arg;

	while (!go) {
		seed = scramble(seed);
		size_t i = seed % SLOTS;
		if (slots[i]) {
			check_filled(slots[i], sizes[i], i);
			free(slots[i]);
		}
		sizes[i] = 8 * (1 + (seed >> 32) % ((seed >> 20) % 50 ? 200 : 40000));
		CHECK(slots[i] = malloc(sizes[i]));
		fill(slots[i], sizes[i], i);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(slots[i]);
	return 0;
}

static void *yield(void *arg)
{
	(void)arg;
	while (!go)
		CHECK(sched_yield() == 0);
	return 0;
}

/* Repeated short sleeps, each of which fails the test if it returns EINTR. */
static void *nap(void *arg)
{
	(void)arg;
	while (!go) {
		struct timespec t = {0, 200000};
		if (nanosleep(&t, 0))
			fail("nanosleep");
		errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0);
		if (errno)
			fail("clock_nanosleep");
		if (select(0, 0, 0, 0, &(struct timeval){0, 200}))
			fail("select");
	}
	return 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *make_threads(void *arg)
{
	pthread_t thread;
	void *result;

	(void)arg;
	for (uintptr_t n = 0; !go; n++) {
		CHECK(pthread_create(&thread, 0, nothing, (void *)n) == 0);
		CHECK(pthread_join(thread, &result) == 0);
		CHECK(result == (void *)n);
	}
	return 0;
}

/* Two threads pass a turn to each other through a condition variable. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static uint64_t turn;

static void *rally(void *arg)
{
	uint64_t side = (uintptr_t)arg;

	pthread_mutex_lock(&mutex);
	while (!go) {
		while (turn % 2 != side && !go)
			pthread_cond_wait(&turned, &mutex);
		turn++;
		pthread_cond_signal(&turned);
	}
	pthread_cond_signal(&turned);
	pthread_mutex_unlock(&mutex);
	return 0;
}

static volatile int alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void *alarmed(void *arg)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
	struct itimerspec often = {{0, 1000000}, {0, 1000000}};
	int before;

	(void)arg;
	event._sigev_un._tid = syscall(SYS_gettid);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	CHECK(timer_settime(timer, 0, &often, 0) == 0);
	while (!go)
		;
	before = alarms;
	while (alarms < before + 10)
		;
	CHECK(timer_delete(timer) == 0);
	return 0;
}

int main(void)
{
	void *(*work[])(void *) = {spin, calls, allocate, allocate, yield, nap, make_threads, rally, rally, alarmed};
	enum { COUNT = sizeof work / sizeof work[0] };
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	pthread_t threads[COUNT];

	CHECK(sigaction(SIGRTMIN, &action, 0) == 0);
	for (int i = 0; i < COUNT; i++)
		CHECK(pthread_create(&threads[i], 0, work[i], (void *)(uintptr_t)(i % 2)) == 0);
	pause_ms(20);
	ready();
	await_go();
	go = 1;
	for (int i = 0; i < COUNT; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	pass();
}

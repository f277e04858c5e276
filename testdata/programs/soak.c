/*
 * Threads that allocate and map memory, open and write files, make and join threads, wait for each other, and count signals of
 * timers. Each checks its results. The program ends when there is a file "go".
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

static volatile int stop;
static _Atomic uint64_t rounds[6];

static void *allocate(void *arg)
{
	enum { SLOTS = 300 };
	uint64_t *slots[SLOTS] = {0}, seed = (uintptr_t)arg;
	size_t sizes[SLOTS];

	while (!stop) {
		seed = scramble(seed);
		size_t i = seed % SLOTS;
		if (slots[i]) {
			check_filled(slots[i], sizes[i], i);
			free(slots[i]);
		}
		sizes[i] = 8 * (1 + (seed >> 32) % ((seed >> 20) % 100 ? 300 : 30000));
		CHECK(slots[i] = malloc(sizes[i]));
		fill(slots[i], sizes[i], i);
		if (++rounds[0] % 64 == 0)
			pause_ms(1);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(slots[i]);
	return 0;
}

static void *map(void *arg)
{
	enum { SLOTS = 40 };
	static char *slots[SLOTS];
	static size_t pages[SLOTS];
	uint64_t seed = 77;

	(void)arg;
	while (!stop) {
		seed = scramble(seed);
		size_t i = seed % SLOTS;
		if (slots[i]) {
			check_filled(slots[i], 4096, i);
			check_filled(slots[i] + (pages[i] - 1) * 4096, 4096, i);
			CHECK(munmap(slots[i], pages[i] * 4096) == 0);
		}
		pages[i] = 1 + (seed >> 30) % 64;
		slots[i] = mmap(0, pages[i] * 4096, PROT_READ | PROT_WRITE,
				MAP_ANONYMOUS | (seed & 1 << 20 ? MAP_SHARED : MAP_PRIVATE), -1, 0);
		CHECK(slots[i] != MAP_FAILED);
		fill(slots[i], 4096, i);
		fill(slots[i] + (pages[i] - 1) * 4096, 4096, i);
		CHECK(mprotect(slots[i], pages[i] * 4096, seed & 1 << 21 ? PROT_READ : PROT_READ | PROT_WRITE) == 0);
		rounds[1]++;
		if (rounds[1] % 16 == 0)
			pause_ms(1);
	}
	return 0;
}

static void *open_files(void *arg)
{
	enum { SLOTS = 30 };
	static int fds[SLOTS];
	static uint64_t seeds[SLOTS];
	char block[8192];
	uint64_t seed = 99;

	(void)arg;
	while (!stop) {
		seed = scramble(seed);
		size_t i = seed % SLOTS;
		if (fds[i]) {
			EQUAL(lseek(fds[i], 0, SEEK_CUR), sizeof block / 2);
			CHECK(pread(fds[i], block, sizeof block, 0) == sizeof block);
			check_filled(block, sizeof block, seeds[i]);
			CHECK(close(fds[i]) == 0);
		}
		/* The file has no name: the restart would find a named one changed by the writes between checkpoint and crash. */
		CHECK((fds[i] = open(".", O_RDWR | O_TMPFILE | (seed & 1 << 20 ? O_CLOEXEC : 0), 0600)) > 2);
		seeds[i] = seed;
		fill(block, sizeof block, seed);
		CHECK(write(fds[i], block, sizeof block) == sizeof block);
		CHECK(lseek(fds[i], sizeof block / 2, SEEK_SET) == sizeof block / 2);
		rounds[2]++;
		pause_ms(1);
	}
	return 0;
}

static void *ended(void *arg)
{
	if ((uintptr_t)arg % 2)
		pause_ms(1);
	return (void *)(uintptr_t)scramble((uintptr_t)arg);
}

static void *make_threads(void *arg)
{
	pthread_t threads[8];
	void *result;

	(void)arg;
	for (uintptr_t n = 0; !stop; n += 8) {
		for (uintptr_t i = 0; i < 8; i++)
			CHECK(pthread_create(&threads[i], 0, ended, (void *)(n + i)) == 0);
		for (uintptr_t i = 0; i < 8; i++) {
			CHECK(pthread_join(threads[i], &result) == 0);
			CHECK(result == (void *)(uintptr_t)scramble(n + i));
		}
		rounds[3]++;
		pause_ms(1);
	}
	return 0;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t produced, consumed;

static void *produce(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&mutex);
	while (!stop) {
		while (produced > consumed + 10 && !stop)
			pthread_cond_wait(&changed, &mutex);
		produced++;
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

static void *consume(void *arg)
{
	struct timespec until;

	(void)arg;
	pthread_mutex_lock(&mutex);
	while (!stop) {
		CHECK(clock_gettime(CLOCK_REALTIME, &until) == 0);
		until.tv_sec++;
		if (consumed == produced)
			pthread_cond_timedwait(&changed, &mutex, &until);
		CHECK(consumed <= produced);
		if (consumed < produced)
			consumed++;
		rounds[4]++;
		pthread_cond_broadcast(&changed);
		if (rounds[4] % 64 == 0) {
			pthread_mutex_unlock(&mutex);
			pause_ms(1);
			pthread_mutex_lock(&mutex);
		}
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

static void on_timer(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	EQUAL(info->si_value.sival_int, 31);
	rounds[5]++;
}

static void start_timer(void)
{
	struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 6};
	struct itimerspec often = {{0, 3000000}, {0, 3000000}};
	timer_t timer;

	event.sigev_value.sival_int = 31;
	CHECK(sigaction(SIGRTMIN + 6, &action, 0) == 0);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	CHECK(timer_settime(timer, 0, &often, 0) == 0);
}

/* The timer's signal would interrupt the sleeps of other threads: only the main thread takes it. */
static void block_timer(int how)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 6);
	CHECK(pthread_sigmask(how, &set, 0) == 0);
}

/* progress waits until every thread has done one more round. */
static void progress(void)
{
	for (int i = 0; i < 6; i++)
		for (uint64_t before = rounds[i]; rounds[i] == before;)
			nanosleep(&(struct timespec){0, 500000}, 0);
}

int main(void)
{
	void *(*work[])(void *) = {allocate, allocate, map, open_files, make_threads, produce, consume};
	enum { COUNT = sizeof work / sizeof work[0] };
	pthread_t threads[COUNT];
	char name[32];

	block_timer(SIG_BLOCK);
	for (uintptr_t i = 0; i < COUNT; i++)
		CHECK(pthread_create(&threads[i], 0, work[i], (void *)i) == 0);
	block_timer(SIG_UNBLOCK);
	start_timer();
	progress();
	ready();
	/* If the script makes a file round-N, the program checks the progress and answers with a line ROUND N. */
	for (int n = 1; access("go", F_OK); n++) {
		char line[32];
		snprintf(name, sizeof name, "round-%d", n);
		while (access(name, F_OK) && access("go", F_OK))
			nanosleep(&(struct timespec){0, 1000000}, 0);
		progress();
		snprintf(line, sizeof line, "ROUND %d\n", n);
		say(line);
	}
	stop = 1;
	pthread_mutex_lock(&mutex);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < COUNT; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	pass();
}

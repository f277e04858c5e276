/*
 * storm [exec]: 200 threads allocate and map memory, fork, execute, and close descriptors, without a pause. When every thread has
 * done one more round, the main thread writes the next number to the link "beat". With "exec" the program executes itself every
 * two seconds. The threads make children only in the first half second of every two seconds: a checkpoint is refused while a
 * child exists.
 */
#include "check.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { THREADS = 200, KEPT = 3 };

extern char **environ;
static _Atomic unsigned long rounds[THREADS];
static volatile int stop;

static long long now_ms(void)
{
	struct timespec t;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void allocate(uint64_t seed)
{
	size_t size = 8 * (1 + seed % 20000);
	uint64_t *memory = malloc(size);

	CHECK(memory);
	fill(memory, size, seed);
	check_filled(memory, size, seed);
	free(memory);
}

static void map(uint64_t seed)
{
	size_t size = 4096 * (1 + seed % 16);
	char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	fill(memory, size, seed);
	CHECK(mprotect(memory, size, PROT_READ) == 0);
	check_filled(memory, size, seed);
	CHECK(munmap(memory, size) == 0);
}

static void reap(pid_t child)
{
	int status;

	EQUAL(waitpid(child, &status, 0), child);
	EQUAL(status, 0);
}

static void children(uint64_t seed)
{
	char *argv[] = {"true", 0};
	pid_t child;

	if (now_ms() / 500 % 4)
		return;
	if (seed % 2) {
		EQUAL(posix_spawn(&child, "/bin/true", 0, 0, argv, environ), 0);
	} else {
		child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			close_range(0, ~0u, 0);
			_exit(0);
		}
	}
	reap(child);
}

/* Closes descriptors that other threads have opened. For them a descriptor can be closed or reused at any time. */
static void descriptors(uint64_t seed)
{
	if (seed % 64 == 0)
		CHECK(close_range(KEPT, ~0u, 0) == 0);
	else
		(void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void *work(void *arg)
{
	uintptr_t n = (uintptr_t)arg;
	uint64_t seed = n;

	while (!stop) {
		seed = scramble(seed);
		switch (n % 10) {
		case 0: case 1: case 2: allocate(seed); break;
		case 3: case 4: case 5: map(seed); break;
		case 6: children(seed); break;
		case 7: case 8: descriptors(seed); break;
		default: break;
		}
		rounds[n]++;
		nanosleep(&(struct timespec){0, 1000000 + seed % 100000000}, 0);
	}
	return 0;
}

/* all_got_on waits until every thread has done one more round. It returns 0 if the program must end. */
static int all_got_on(void)
{
	for (int i = 0; i < THREADS; i++)
		for (unsigned long before = rounds[i]; rounds[i] == before;) {
			if (access("go", F_OK) == 0)
				return 0;
			nanosleep(&(struct timespec){0, 1000000}, 0);
		}
	return 1;
}

/* The number is the text of a symbolic link: to write a file needs a descriptor, which another thread could close. */
static void beat(unsigned long n)
{
	char text[32];

	snprintf(text, sizeof text, "%lu", n);
	unlink("beat.new");
	CHECK(symlink(text, "beat.new") == 0);
	CHECK(rename("beat.new", "beat") == 0);
}

int main(int argc, char **argv)
{
	int executes = argc > 1 && !strcmp(argv[1], "exec");
	unsigned long n = argc > 2 ? strtoul(argv[2], 0, 10) : 0;
	long long until = now_ms() + 2000;
	pthread_attr_t small;
	pthread_t threads[THREADS];
	char text[32];

	CHECK(pthread_attr_init(&small) == 0);
	CHECK(pthread_attr_setstacksize(&small, 65536) == 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], &small, work, (void *)i) == 0);
	if (n == 0)
		ready();
	while (all_got_on()) {
		beat(++n);
		if (!executes || now_ms() < until)
			continue;
		stop = 1; /* a child that is not waited for would be an obstacle after the exec */
		for (int i = 0; i < THREADS; i++)
			CHECK(pthread_join(threads[i], 0) == 0);
		snprintf(text, sizeof text, "%lu", n);
		execl("/proc/self/exe", argv[0], "exec", text, (char *)0);
		fail("execl");
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	pass();
}

/*
 * gap THREADS MIB FILL [FORKS]: reads CLOCK_MONOTONIC in a loop and prints
 * "NOW GAP", in nanoseconds, for each gap of 100 us or more. The other threads
 * sleep most of the time. FILL: random (no two pages alike), half (every other
 * page zero), or busy: random, and the program maps and unmaps memory all the
 * time. With FORKS it forks that many times, 50 ms apart, prints "fork NS" for
 * each, and ends; it is not checkpointed then.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LEAST_GAP = 100000, PAGE = 4096 };

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *sleeper(void *unused)
{
	for (;;)
		usleep(20000);
	return unused;
}

static void fill(size_t mib, int half)
{
	size_t length = mib << 20;
	if (length == 0)
		return;
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		exit(1);
	madvise(memory, length, MADV_NOHUGEPAGE);
	unsigned long long x = 88172645463325252ULL;
	for (size_t page = 0; page < length; page += PAGE) {
		unsigned long long *word = (unsigned long long *)(memory + page);
		if (half && page / PAGE % 2) {
			memset(word, 0, PAGE);
			continue;
		}
		for (size_t i = 0; i < PAGE / sizeof(*word); i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			word[i] = x;
		}
	}
}

/* Maps, touches and unmaps memory, so that the list of mappings changes with each call. */
static void churn(unsigned int n)
{
	enum { SLOTS = 16 };
	static struct { char *at; size_t length; } slots[SLOTS];
	unsigned int i = n % SLOTS;

	if (slots[i].at)
		munmap(slots[i].at, slots[i].length);
	slots[i].length = (1 + n % 7) * PAGE;
	slots[i].at = mmap(NULL, slots[i].length, n % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (slots[i].at == MAP_FAILED)
		exit(1);
	if (n % 2 == 0)
		slots[i].at[0] = 1;
}

static void forks(int count)
{
	for (int i = 0; i < count; i++) {
		usleep(50000);
		long long start = now();
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		long long end = now();
		waitpid(pid, NULL, 0);
		printf("fork %lld\n", end - start);
	}
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: gap THREADS MIB random|half|busy [FORKS]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	fill(strtoul(argv[2], NULL, 10), strcmp(argv[3], "half") == 0);
	for (int i = 1; i < atoi(argv[1]); i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, sleeper, NULL) != 0)
			return 1;
	}
	printf("READY\n");
	if (argc > 4) {
		forks(atoi(argv[4]));
		return 0;
	}
	int busy = strcmp(argv[3], "busy") == 0;
	unsigned int n = 0;
	for (long long last = now(), t;; last = t) {
		if (busy)
			churn(n++);
		t = now();
		if (t - last < LEAST_GAP)
			continue;
		printf("%lld %lld\n", t, t - last);
		t = now();
	}
}

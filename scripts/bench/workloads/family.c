/*
 * family COUNT MIB own|shared [ROUNDS]: a group of COUNT processes, the first of which has forked the others. Each has MIB MiB of
 * random pages: its own, or those that the first process filled before it forked. All print "NOW NUMBER" after a gap of 100 ms or
 * more, in nanoseconds, and sleep most of the time. With ROUNDS each process forks that many times, one process after the other.
 * "fork NS" is then the time of one round, without the time between the forks; the program ends, and is not checkpointed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LEAST_GAP = 100000000, NAP_US = 10000 };

static struct {
	volatile int ready; /* number of processes that have their memory */
	volatile int turn; /* which process may fork */
	long long spent; /* in the forks of this round */
} *shared;

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fill(size_t mib, unsigned long long x)
{
	size_t length = mib << 20;
	if (length == 0)
		return;
	unsigned long long *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		exit(1);
	madvise(memory, length, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < length / sizeof(*memory); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memory[i] = x;
	}
}

static void fork_in_turn(int number, int count, int rounds)
{
	for (int round = 0; round < rounds; round++) {
		while (shared->turn != round * count + number)
			usleep(1000);
		long long start = now();
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		shared->spent += now() - start;
		waitpid(pid, NULL, 0);
		if (number == count - 1) {
			printf("fork %lld\n", shared->spent);
			shared->spent = 0;
		}
		shared->turn++;
	}
}

static void run(int number)
{
	for (long long last = now(), t;; last = t) {
		usleep(NAP_US);
		t = now();
		if (t - last >= LEAST_GAP)
			printf("%lld %d\n", t, number);
	}
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: family COUNT MIB own|shared [ROUNDS]\n");
		return 2;
	}
	int count = atoi(argv[1]), mib = atoi(argv[2]), own = strcmp(argv[3], "own") == 0, number = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	if (!own)
		fill(mib, 88172645463325252ULL);
	for (int i = 1; i < count && number == 0; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return 1;
		if (pid == 0)
			number = i;
	}
	if (own)
		fill(mib, 88172645463325252ULL + number);
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
	while (shared->ready != count)
		usleep(1000);
	if (number == 0)
		printf("READY\n");
	if (argc < 5)
		run(number);
	fork_in_turn(number, count, atoi(argv[4]));
	while (number == 0 && wait(NULL) > 0)
		;
	return 0;
}

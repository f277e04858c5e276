/*
 * loops KIND COUNT: runs one kind of loop and prints the nanoseconds it took.
 * All threads run on one CPU. Otherwise the time of context switches would
 * depend on which CPUs the scheduler chose.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static volatile unsigned long long sink;

static void cpu(long count)
{
	unsigned long long x = 88172645463325252ULL;
	for (long i = 0; i < count; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	sink = x;
}

static void allocate(long count)
{
	void *slots[64] = { 0 };
	for (long i = 0; i < count; i++) {
		free(slots[i & 63]);
		slots[i & 63] = malloc(16 + (i * 37 & 1023));
	}
	for (int i = 0; i < 64; i++)
		free(slots[i]);
}

static void enter(long count)
{
	for (long i = 0; i < count; i++)
		sink += syscall(SYS_getppid);
}

static int there[2], back[2];

static void *echo(void *unused)
{
	char c;
	while (read(there[0], &c, 1) == 1)
		if (write(back[1], &c, 1) != 1)
			break;
	return unused;
}

static void change(long count)
{
	pthread_t thread;
	char c = 0;
	if (pipe(there) || pipe(back) || pthread_create(&thread, NULL, echo, NULL))
		exit(1);
	for (long i = 0; i < count; i++)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			exit(1);
	close(there[1]);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(long);
	} kinds[] = { { "cpu", cpu }, { "malloc", allocate }, { "syscall", enter }, { "switch", change } };
	cpu_set_t here;
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
	for (unsigned i = 0; argc == 3 && i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(argv[1], kinds[i].name) != 0)
			continue;
		long long start = now();
		kinds[i].run(atol(argv[2]));
		printf("%lld\n", now() - start);
		return 0;
	}
	fprintf(stderr, "usage: loops cpu|malloc|syscall|switch COUNT\n");
	return 2;
}

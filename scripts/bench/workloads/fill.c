/*
 * fill MIB: writes to every byte of MIB MiB of new memory, and prints how many
 * nanoseconds that took.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: fill MIB\n");
		return 2;
	}
	size_t length = strtoul(argv[1], NULL, 10) << 20;
	long long start = now();
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	madvise(memory, length, MADV_NOHUGEPAGE);
	memset(memory, 1, length);
	printf("%lld\n", now() - start);
	return 0;
}

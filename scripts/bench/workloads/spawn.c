/*
 * spawn COUNT PROGRAM [LIBRARY]: runs the program COUNT times, one after the
 * other, with LD_PRELOAD=LIBRARY, and prints the nanoseconds and page faults
 * of all runs together.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: spawn COUNT PROGRAM [LIBRARY]\n");
		return 2;
	}
	char preload[4096 + 16] = "";
	if (argc > 3)
		snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", argv[3]);
	char *arguments[] = { argv[2], NULL };
	char *environment[] = { "PATH=/usr/bin:/bin", argc > 3 ? preload : NULL, NULL };
	long faults = 0;
	int count = atoi(argv[1]);
	long long start = now();
	for (int i = 0; i < count; i++) {
		pid_t pid;
		int status;
		struct rusage usage;
		if (posix_spawn(&pid, argv[2], NULL, NULL, arguments, environment) != 0 ||
		    wait4(pid, &status, 0, &usage) != pid || status != 0) {
			fprintf(stderr, "spawn: %s\n", argv[2]);
			return 1;
		}
		faults += usage.ru_minflt + usage.ru_majflt;
	}
	printf("%lld %ld\n", now() - start, faults);
	return 0;
}

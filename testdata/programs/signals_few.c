/* Sixty threads, and RLIMIT_SIGPENDING allows ten queued signals more than processes of this user have now: it counts these, too. */
#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#define THREADS 60

static void *wait_for_go(void *unused)
{
	(void)unused;
	await_go();
	return NULL;
}

static rlim_t queued(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned long n;
	char line[256];

	CHECK(status);
	while (fgets(line, sizeof line, status))
		if (sscanf(line, "SigQ: %lu", &n) == 1) {
			fclose(status);
			return n;
		}
	fail("no SigQ in /proc/self/status");
}

int main(void)
{
	rlim_t most = queued() + 10;
	struct rlimit few = {most, most};
	pthread_t threads[THREADS];

	CHECK(setrlimit(RLIMIT_SIGPENDING, &few) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, wait_for_go, NULL) == 0);
	ready();
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	pass();
}

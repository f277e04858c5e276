/* Sixty threads, and RLIMIT_SIGPENDING allows ten queued signals. */
#include "check.h"

#include <pthread.h>
#include <sys/resource.h>

#define THREADS 60

static void *wait_for_go(void *unused)
{
	(void)unused;
	await_go();
	return NULL;
}

int main(void)
{
	struct rlimit few = {10, 10};
	pthread_t threads[THREADS];

	CHECK(setrlimit(RLIMIT_SIGPENDING, &few) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, wait_for_go, NULL) == 0);
	ready();
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	pass();
}

/* The main thread has ended; the other threads run on. */
#include "check.h"

#include <pthread.h>

static pthread_t main_thread;

static void *other(void *arg)
{
	(void)arg;
	await_go();
	return (void *)5;
}

static void *work(void *arg)
{
	pthread_t *sibling = arg;
	char status[8192];
	void *result;

	CHECK(pthread_join(main_thread, 0) == 0);
	/* The ended main thread becomes a zombie a moment later. */
	do
		slurp("/proc/self/status", status, sizeof status);
	while (!strstr(status, "State:\tZ"));
	ready();
	await_go();
	CHECK(pthread_join(*sibling, &result) == 0 && result == (void *)5);
	slurp("/proc/self/status", status, sizeof status);
	CHECK(strstr(status, "State:\tZ"));
	CHECK(syscall(SYS_gettid) != getpid());
	pass();
	return 0;
}

int main(void)
{
	static pthread_t first, second;

	main_thread = pthread_self();
	CHECK(pthread_create(&first, 0, other, 0) == 0);
	CHECK(pthread_create(&second, 0, work, &first) == 0);
	pthread_exit(0);
}

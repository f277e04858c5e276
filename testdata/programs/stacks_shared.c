/*
 * Threads that have the same alternate stack, for handlers that never run in two of them at a time. They sleep, wait for a condition
 * variable, or compute, and check what they have on their ordinary stacks.
 *
 * stacks_shared N: N threads besides the main thread.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>

static char shared[65536], other[65536];
static stack_t stack = {.ss_sp = shared, .ss_size = sizeof(shared)};
static pthread_barrier_t begun;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int ended;

static int has_ended(void)
{
	return __atomic_load_n(&ended, __ATOMIC_SEQ_CST);
}

/* Calls itself to a depth, and checks the values of all calls on its way back. */
static unsigned long compute(unsigned long seed, int depth)
{
	volatile unsigned long values[8];
	unsigned long sum = 0;

	for (int i = 0; i < 8; i++)
		values[i] = seed * 31 + i;
	if (depth > 0)
		sum = compute(seed + 1, depth - 1);
	for (int i = 0; i < 8; i++)
		CHECK(values[i] == seed * 31 + i);
	return sum + values[7];
}

static void *work(void *arg)
{
	intptr_t n = (intptr_t)arg;
	unsigned long sum = compute(n, 20);
	stack_t now;

	CHECK(sigaltstack(&stack, NULL) == 0);
	pthread_barrier_wait(&begun);
	while (!has_ended()) {
		switch (n % 3) {
		case 0:
			pause_ms(5); /* this thread is frozen in its sleep */
			break;
		case 1:
			pthread_mutex_lock(&mutex);
			if (!has_ended())
				pthread_cond_wait(&changed, &mutex);
			pthread_mutex_unlock(&mutex);
			break;
		}
		CHECK(compute(n, 20) == sum);
	}
	CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == shared && now.ss_size == sizeof(shared) && now.ss_flags == 0);
	return NULL;
}

static void *briefly(void *arg)
{
	CHECK(sigaltstack(&stack, NULL) == 0);
	return arg;
}

static void *elsewhere(void *arg)
{
	stack_t own = {.ss_sp = other, .ss_size = sizeof(other)}, none = {.ss_flags = SS_DISABLE};

	CHECK(sigaltstack(&own, NULL) == 0);
	pthread_barrier_wait(&begun);
	while (!has_ended())
		pause_ms(5); /* this one, too */
	CHECK(sigaltstack(&none, &own) == 0 && own.ss_sp == other);
	return arg;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 0;
	pthread_t threads[100];

	CHECK(count > 0 && count < 100);
	CHECK(pthread_create(&threads[0], NULL, briefly, NULL) == 0 && pthread_join(threads[0], NULL) == 0);
	CHECK(sigaltstack(&stack, NULL) == 0 && pthread_barrier_init(&begun, NULL, count + 1) == 0);
	CHECK(sigaltstack(&(stack_t){.ss_sp = other, .ss_size = 1}, NULL) == -1 && errno == ENOMEM);
	for (intptr_t i = 0; i < count; i++)
		CHECK(pthread_create(&threads[i], NULL, i == 1 ? elsewhere : work, (void *)i) == 0);
	pthread_barrier_wait(&begun);
	ready();
	await_go();
	pthread_mutex_lock(&mutex);
	__atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < count; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	pass();
}

/*
 * Children with threads: each has ten that pass a token around, and in one of the children the main thread has ended. A
 * thread other than the main one has made a child, too, and waits for it.
 */
#include "group.h"

#include <pthread.h>

enum { THREADS = 10, KIDS = 3 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static _Thread_local uint64_t mine;
static uint64_t token;
static int over;

static void *work(void *arg)
{
	uintptr_t number = (uintptr_t)arg;

	mine = number * 1000;
	CHECK(pthread_mutex_lock(&mutex) == 0);
	for (;;) {
		while (token % THREADS != number && !over)
			CHECK(pthread_cond_wait(&changed, &mutex) == 0);
		if (over)
			break;
		EQUAL(mine, number * 1000 + token / THREADS);
		mine++;
		token++;
		CHECK(pthread_cond_broadcast(&changed) == 0);
		if (token % 100 == 0)
			usleep(1000);
		over = over || (token >= 10 * THREADS && token % 50 == 0 && access("go", F_OK) == 0);
	}
	CHECK(pthread_cond_broadcast(&changed) == 0);
	CHECK(pthread_mutex_unlock(&mutex) == 0);
	return 0;
}

static int waits(long code)
{
	await_go();
	return code;
}

static void *maker(void *arg)
{
	pid_t kid = child(waits, 50);

	mark("made");
	reap(kid, 50);
	return arg;
}

static void *ender(void *threads)
{
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(((pthread_t *)threads)[i], 0) == 0);
	await_mark("kid-1"); /* without it, the root would wait for ever */
	_exit(1);
}

static int kid(long number)
{
	static pthread_t threads[THREADS], other;

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], 0, work, (void *)i) == 0);
	if (number == 1)
		CHECK(pthread_create(&other, 0, ender, threads) == 0);
	if (number == 2)
		CHECK(pthread_create(&other, 0, maker, 0) == 0);
	while (__atomic_load_n(&token, __ATOMIC_SEQ_CST) < 10 * THREADS)
		pause_ms(1);
	mark("kid-%ld", number);
	if (number == 1)
		pthread_exit(0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	if (number == 2)
		CHECK(pthread_join(other, 0) == 0);
	return number;
}

int main(void)
{
	pid_t kids[KIDS];

	for (int i = 0; i < KIDS; i++)
		kids[i] = child(kid, i + 1);
	for (int i = 0; i < KIDS; i++)
		await_mark("kid-%d", i + 1);
	await_mark("made");
	await_state(kids[0], 'Z');
	ready();
	await_go();
	for (int i = 0; i < KIDS; i++)
		reap(kids[i], i + 1);
	pass();
}

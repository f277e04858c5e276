/* N threads, by default 1000, each with its own TLS, name, mask and stack, blocked on one futex. */
#include "check.h"

#include <pthread.h>
#include <signal.h>

static __thread uint64_t own;
static __thread uint64_t zeroed[16];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_key_t key;
static int waiting, go, done;

static void *work(void *arg)
{
	uint64_t number = (uintptr_t)arg, local[64];
	pid_t tid = syscall(SYS_gettid);
	char name[16], now[16];
	sigset_t mask, now_mask;

	own = scramble(number);
	fill(local, sizeof local, number);
	CHECK(pthread_setspecific(key, (void *)(uintptr_t)(number + 1)) == 0);
	snprintf(name, sizeof name, "worker-%llu", (unsigned long long)number);
	CHECK(pthread_setname_np(pthread_self(), name) == 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + number % 20);
	CHECK(pthread_sigmask(SIG_SETMASK, &mask, 0) == 0);
	errno = number % 100;

	pthread_mutex_lock(&mutex);
	waiting++;
	pthread_cond_broadcast(&changed);
	while (!go)
		pthread_cond_wait(&changed, &mutex);
	done++;
	pthread_mutex_unlock(&mutex);

	EQUAL(errno, number % 100);
	EQUAL(syscall(SYS_gettid), tid);
	CHECK(own == scramble(number));
	check_zero(zeroed, sizeof zeroed);
	check_filled(local, sizeof local, number);
	CHECK(pthread_getspecific(key) == (void *)(uintptr_t)(number + 1));
	CHECK(pthread_getname_np(pthread_self(), now, sizeof now) == 0 && !strcmp(name, now));
	CHECK(pthread_sigmask(SIG_SETMASK, 0, &now_mask) == 0);
	for (int sig = SIGRTMIN; sig < SIGRTMIN + 20; sig++)
		EQUAL(sigismember(&now_mask, sig), sig == SIGRTMIN + (int)(number % 20));
	return (void *)(uintptr_t)scramble(number);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1000;
	pthread_t *threads = calloc(count, sizeof *threads);
	pthread_attr_t attr;
	void *result;

	CHECK(threads && pthread_key_create(&key, 0) == 0);
	CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 65536) == 0);
	for (int i = 0; i < count; i++)
		CHECK(pthread_create(&threads[i], &attr, work, (void *)(uintptr_t)i) == 0);
	pthread_mutex_lock(&mutex);
	while (waiting < count)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);

	ready();
	await_go();

	pthread_mutex_lock(&mutex);
	EQUAL(done, 0);
	go = 1;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < count; i++) {
		CHECK(pthread_join(threads[i], &result) == 0);
		CHECK(result == (void *)(uintptr_t)scramble(i));
	}
	/* New threads can still be made. */
	go = 0, waiting = 0;
	CHECK(pthread_create(&threads[0], &attr, work, (void *)7) == 0);
	pthread_mutex_lock(&mutex);
	go = 1;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	CHECK(pthread_join(threads[0], &result) == 0);
	pass();
}

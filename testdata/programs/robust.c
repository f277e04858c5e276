/*
 * Robust mutexes in a mapped file. The file exists after the program's death. After a restart the threads hold their mutexes again.
 * `robust take FILE` is another program: it locks the first mutex, whose owner has died.
 */
#include "check.h"

#include <pthread.h>
#include <sys/mman.h>

enum { MAIN, THREAD, FREE, MUTEXES };

static pthread_mutex_t *mutexes;
static pthread_barrier_t held, released;

static void map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && ftruncate(fd, 8192) == 0);
	mutexes = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mutexes != MAP_FAILED && close(fd) == 0);
	mutexes = (pthread_mutex_t *)((char *)mutexes + 4096);
}

static void make(void)
{
	pthread_mutexattr_t attr;

	CHECK(pthread_mutexattr_init(&attr) == 0);
	CHECK(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	for (int i = 0; i < MUTEXES; i++)
		CHECK(pthread_mutex_init(&mutexes[i], &attr) == 0);
}

static void *hold(void *arg)
{
	EQUAL(pthread_mutex_lock(&mutexes[THREAD]), 0);
	pthread_barrier_wait(&held);
	await_go();
	EQUAL(pthread_mutex_unlock(&mutexes[THREAD]), 0);
	pthread_barrier_wait(&released);
	return arg;
}

static void take(const char *path)
{
	map(path);
	EQUAL(pthread_mutex_lock(&mutexes[MAIN]), EOWNERDEAD);
	EQUAL(pthread_mutex_consistent(&mutexes[MAIN]), 0);
	ready();
	await_go();
	EQUAL(pthread_mutex_unlock(&mutexes[MAIN]), 0);
	pass();
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc > 2)
		take(argv[2]);
	map("mutexes");
	make();
	CHECK(pthread_barrier_init(&held, 0, 2) == 0 && pthread_barrier_init(&released, 0, 2) == 0);
	EQUAL(pthread_mutex_lock(&mutexes[MAIN]), 0);
	CHECK(pthread_create(&thread, 0, hold, 0) == 0);
	pthread_barrier_wait(&held);
	ready();
	await_go();
	if (access("taken", F_OK) == 0) {
		EQUAL(pthread_mutex_unlock(&mutexes[MAIN]), EPERM);
		pass();
	}
	EQUAL(pthread_mutex_trylock(&mutexes[FREE]), 0);
	EQUAL(pthread_mutex_unlock(&mutexes[FREE]), 0);
	EQUAL(pthread_mutex_unlock(&mutexes[MAIN]), 0);
	pthread_barrier_wait(&released);
	for (int i = 0; i < MUTEXES; i++) {
		EQUAL(pthread_mutex_trylock(&mutexes[i]), 0);
		EQUAL(pthread_mutex_unlock(&mutexes[i]), 0);
	}
	CHECK(pthread_join(thread, 0) == 0);
	pass();
}

/*
 * group_memory anon|memfd|sysv|file|deleted: memory that processes share, with a mutex, a condition variable, a semaphore, a
 * barrier and a robust mutex in it. At least one process waits for each of these. All processes count in it until the end, and
 * no count may be lost.
 */
#include "group.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/shm.h>

enum { COUNTERS = 3, ROUNDS_SIZE = 1 << 20 };

struct area {
	pthread_mutex_t mutex, held, robust;
	pthread_cond_t changed;
	pthread_barrier_t barrier;
	sem_t semaphore;
	_Atomic int waiting;
	int flag;
	uint64_t count, counts[COUNTERS];
	uint64_t filled[ROUNDS_SIZE / 8];
};

static struct area *area;
static const char *kind;

static void *map(void)
{
	void *memory;
	int fd = -1, id;

	if (!strcmp(kind, "anon"))
		return shared(sizeof *area);
	if (!strcmp(kind, "sysv")) {
		id = shmget(IPC_PRIVATE, sizeof *area, IPC_CREAT | 0600);
		CHECK(id >= 0);
		memory = shmat(id, 0, 0);
		CHECK(memory != (void *)-1);
		CHECK(shmctl(id, IPC_RMID, 0) == 0);
		return memory;
	}
	if (!strcmp(kind, "memfd"))
		fd = memfd_create("area", 0);
	else
		fd = open("area", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, sizeof *area) == 0);
	if (!strcmp(kind, "deleted"))
		CHECK(unlink("area") == 0);
	memory = mmap(0, sizeof *area, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	return memory;
}

static void make(void)
{
	pthread_mutexattr_t attr, robust;
	pthread_condattr_t cond;
	pthread_barrierattr_t barrier;

	area = map();
	CHECK(pthread_mutexattr_init(&attr) == 0 && pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutexattr_init(&robust) == 0 && pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_condattr_init(&cond) == 0 && pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_barrierattr_init(&barrier) == 0);
	CHECK(pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutex_init(&area->mutex, &attr) == 0 && pthread_mutex_init(&area->held, &attr) == 0);
	CHECK(pthread_mutex_init(&area->robust, &robust) == 0);
	CHECK(pthread_cond_init(&area->changed, &cond) == 0);
	CHECK(pthread_barrier_init(&area->barrier, &barrier, 2) == 0);
	CHECK(sem_init(&area->semaphore, 1, 0) == 0);
	fill(area->filled, sizeof area->filled, 5);
}

/* Counts under the mutex until go. */
static int counter(long number)
{
	uint64_t n;

	for (n = 0; n == 0 || access("go", F_OK); n++) {
		CHECK(pthread_mutex_lock(&area->mutex) == 0);
		area->counts[number]++;
		area->count++;
		CHECK(pthread_mutex_unlock(&area->mutex) == 0);
		if (n == 0)
			mark("counter-%ld", number);
		if (n % 64 == 0)
			usleep(500);
	}
	EQUAL(area->counts[number], n);
	return number;
}

static int cond_waiter(long number)
{
	CHECK(pthread_mutex_lock(&area->mutex) == 0);
	area->waiting++;
	while (!area->flag)
		CHECK(pthread_cond_wait(&area->changed, &area->mutex) == 0);
	CHECK(pthread_mutex_unlock(&area->mutex) == 0);
	return number;
}

static int mutex_waiter(long number)
{
	area->waiting++;
	CHECK(pthread_mutex_lock(&area->held) == 0);
	CHECK(pthread_mutex_unlock(&area->held) == 0);
	return number;
}

static int sem_waiter(long number)
{
	area->waiting++;
	CHECK(sem_wait(&area->semaphore) == 0);
	return number;
}

static int barrier_waiter(long number)
{
	area->waiting++;
	pthread_barrier_wait(&area->barrier);
	return number;
}

/* Dies with the robust mutex. */
static int robust_holder(long number)
{
	CHECK(pthread_mutex_lock(&area->robust) == 0);
	area->waiting++;
	await_mark("die");
	return number;
}

static int robust_waiter(long number)
{
	EQUAL(pthread_mutex_lock(&area->robust), EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&area->robust) == 0);
	CHECK(pthread_mutex_unlock(&area->robust) == 0);
	return number;
}

int main(int argc, char **argv)
{
	enum { COND, MUTEX, SEM, BARRIER, HOLDER, WAITERS };
	static int (*const functions[WAITERS])(long) = {cond_waiter, mutex_waiter, sem_waiter, barrier_waiter, robust_holder};
	pid_t counters[COUNTERS], waiters[WAITERS], next_owner;
	uint64_t sum = 0;

	kind = argc > 1 ? argv[1] : "anon";
	make();
	CHECK(pthread_mutex_lock(&area->held) == 0);
	for (int i = 0; i < WAITERS; i++)
		waiters[i] = child(functions[i], 10 + i);
	for (int i = 0; i < COUNTERS; i++)
		counters[i] = child(counter, i);
	for (int i = 0; i < COUNTERS; i++)
		await_mark("counter-%d", i);
	while (area->waiting < WAITERS)
		pause_ms(1);
	next_owner = child(robust_waiter, 20);
	await_call(next_owner, SYS_futex);
	for (int i = COND; i < HOLDER; i++)
		await_call(waiters[i], SYS_futex);
	ready();
	await_go();
	for (int i = 0; i < COUNTERS; i++) {
		reap(counters[i], i);
		sum += area->counts[i];
	}
	EQUAL(area->count, sum);
	check_filled(area->filled, sizeof area->filled, 5);
	for (int i = 0; i < WAITERS; i++)
		EQUAL(waitpid(waiters[i], 0, WNOHANG), 0);
	CHECK(pthread_mutex_lock(&area->mutex) == 0);
	area->flag = 1;
	CHECK(pthread_cond_broadcast(&area->changed) == 0);
	CHECK(pthread_mutex_unlock(&area->mutex) == 0);
	reap(waiters[COND], 10 + COND);
	CHECK(pthread_mutex_unlock(&area->held) == 0);
	reap(waiters[MUTEX], 10 + MUTEX);
	CHECK(sem_post(&area->semaphore) == 0);
	reap(waiters[SEM], 10 + SEM);
	pthread_barrier_wait(&area->barrier);
	reap(waiters[BARRIER], 10 + BARRIER);
	mark("die");
	reap(waiters[HOLDER], 10 + HOLDER);
	reap(next_owner, 20);
	pass();
}

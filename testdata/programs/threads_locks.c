/* State of a thread in the kernel and libc: robust list, owners of mutexes, pthread_join in progress, alternate stack, rseq. */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/rseq.h>

static pthread_mutex_t robust, inherit, recursive;
static pthread_barrier_t started;
static volatile int die;
static volatile uintptr_t handler_sp;

static void on_usr1(int sig)
{
	char here;
	(void)sig;
	handler_sp = (uintptr_t)&here;
}

/* Holds two mutexes, and ends without unlocking when told to. */
static void *owner(void *arg)
{
	char *altstack = arg;
	stack_t stack = {.ss_sp = altstack, .ss_size = 65536}, now;

	CHECK(sigaltstack(&stack, 0) == 0);
	CHECK(pthread_mutex_lock(&robust) == 0);
	CHECK(pthread_mutex_lock(&inherit) == 0);
	pthread_barrier_wait(&started);
	while (!die)
		pause_ms(1);
	CHECK(sigaltstack(0, &now) == 0);
	CHECK(now.ss_sp == altstack && now.ss_size == 65536 && now.ss_flags == 0);
	CHECK(raise(SIGUSR1) == 0);
	CHECK(handler_sp > (uintptr_t)altstack && handler_sp < (uintptr_t)altstack + 65536);
	CHECK(pthread_mutex_unlock(&inherit) == 0);
	return (void *)42;
}

/* Blocked in pthread_join during the checkpoint. */
static void *joiner(void *arg)
{
	void *result;
	pthread_barrier_wait(&started);
	CHECK(pthread_join(*(pthread_t *)arg, &result) == 0);
	return result;
}

/* The kernel must still update the CPU number in the rseq area. */
static void check_rseq(void)
{
	cpu_set_t one;
	struct rseq *rseq = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	if (__rseq_size == 0)
		return; /* libc was told not to register it */
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof one, &one))
			continue;
		EQUAL(*(volatile uint32_t *)&rseq->cpu_id, cpu);
		EQUAL(sched_getcpu(), cpu);
	}
}

int main(void)
{
	pthread_mutexattr_t attr;
	struct sigaction action = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
	static char altstack[65536];
	pthread_t first, second;
	cpu_set_t all;
	void *result;

	CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
	CHECK(sigaction(SIGUSR1, &action, 0) == 0);
	CHECK(pthread_mutexattr_init(&attr) == 0);
	CHECK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_mutex_init(&robust, &attr) == 0);
	CHECK(pthread_mutexattr_init(&attr) == 0);
	CHECK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
	CHECK(pthread_mutex_init(&inherit, &attr) == 0);
	CHECK(pthread_mutexattr_init(&attr) == 0);
	CHECK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE) == 0);
	CHECK(pthread_mutex_init(&recursive, &attr) == 0);
	CHECK(pthread_mutex_lock(&recursive) == 0);
	CHECK(pthread_barrier_init(&started, 0, 3) == 0);
	CHECK(pthread_create(&first, 0, owner, altstack) == 0);
	CHECK(pthread_create(&second, 0, joiner, &first) == 0);
	pthread_barrier_wait(&started);

	ready();
	await_go();

	EQUAL(pthread_mutex_trylock(&robust), EBUSY);
	EQUAL(pthread_mutex_trylock(&inherit), EBUSY);
	CHECK(pthread_mutex_lock(&recursive) == 0); /* libc stores the owner's TID */
	CHECK(pthread_mutex_unlock(&recursive) == 0 && pthread_mutex_unlock(&recursive) == 0);
	EQUAL(pthread_mutex_unlock(&recursive), EPERM);
	check_rseq();
	CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
	die = 1;
	CHECK(pthread_join(second, &result) == 0);
	CHECK(result == (void *)42);
	EQUAL(pthread_mutex_lock(&robust), EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
	CHECK(pthread_mutex_lock(&inherit) == 0 && pthread_mutex_unlock(&inherit) == 0);
	pass();
}

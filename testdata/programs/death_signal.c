/*
 * Two threads have asked for a signal at the death of their parent (PR_SET_PDEATHSIG). They must get none while the parent lives,
 * and none when `crak restart --detach`, their parent for a moment, ends.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

static volatile sig_atomic_t orphaned;

static void on_death(int sig)
{
	orphaned = sig;
}

static void check(int want)
{
	int have = 0;

	CHECK(prctl(PR_GET_PDEATHSIG, &have) == 0);
	EQUAL(have, want);
}

static void *other(void *arg)
{
	CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
	pthread_barrier_wait(arg);
	await_go();
	check(SIGUSR1);
	return arg;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_death, .sa_flags = SA_RESTART};
	pthread_barrier_t set;
	pthread_t thread;

	CHECK(sigaction(SIGUSR1, &action, 0) == 0);
	CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
	CHECK(pthread_barrier_init(&set, 0, 2) == 0);
	CHECK(pthread_create(&thread, 0, other, &set) == 0);
	pthread_barrier_wait(&set);
	ready();
	while (access("go", F_OK)) {
		struct timespec t = {0, 2000000};

		nanosleep(&t, 0); /* the signal would interrupt this sleep */
	}
	CHECK(pthread_join(thread, 0) == 0);
	EQUAL(orphaned, 0);
	check(SIGUSR1);
	pass();
}

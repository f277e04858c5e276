/*
 * group_workers WORKERS TASKS: forked workers take numbered tasks from shared memory, under a robust mutex, and add up the
 * results. Now and then a worker dies while it holds the mutex. Another worker then repairs the data, and the root replaces
 * the worker. The sum is the same whatever happens.
 */
#include "group.h"

#include <pthread.h>

enum { MOST = 256, WORK = 2000 };

struct area {
	pthread_mutex_t mutex;
	uint64_t next, done, sum, repaired;
	int64_t taken;   /* the task that the owner of the mutex is about to take, or -1 */
	uint64_t deaths; /* how many workers are to die yet */
};

static struct area *area;
static uint64_t tasks;

static uint64_t result(uint64_t task)
{
	uint64_t x = task;

	for (int i = 0; i < WORK; i++)
		x = scramble(x);
	return x;
}

static void lock(void)
{
	int error = pthread_mutex_lock(&area->mutex);

	if (error == EOWNERDEAD) {
		/* The dead owner had not finished taking a task, so another worker may take it. */
		area->taken = -1;
		area->repaired++;
		CHECK(pthread_mutex_consistent(&area->mutex) == 0);
		return;
	}
	EQUAL(error, 0);
}

static void unlock(void) { EQUAL(pthread_mutex_unlock(&area->mutex), 0); }

/* take is the number of a task, or -1 where all are taken. */
static int64_t take(void)
{
	int64_t task = -1;

	lock();
	EQUAL(area->taken, -1);
	if (area->next < tasks) {
		area->taken = task = area->next;
		if (area->deaths && scramble(task) % 500 == 0) {
			area->deaths--;
			_exit(77);
		}
		area->next++;
		area->taken = -1;
	}
	unlock();
	return task;
}

static int worker(long number)
{
	int64_t task;

	while ((task = take()) >= 0) {
		uint64_t x = result(task);

		usleep(x % 20000);
		lock();
		area->sum += x;
		area->done++;
		unlock();
	}
	return number;
}

int main(int argc, char **argv)
{
	int workers = argc > 1 ? atoi(argv[1]) : 64, status;
	pthread_mutexattr_t attr;
	pid_t pids[MOST], pid;
	char line[80];

	tasks = argc > 2 ? strtoull(argv[2], 0, 10) : 10000;
	CHECK(workers <= MOST);
	area = shared(sizeof *area);
	area->taken = -1;
	area->deaths = 8;
	CHECK(pthread_mutexattr_init(&attr) == 0 && pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_mutex_init(&area->mutex, &attr) == 0);
	for (int i = 0; i < workers; i++)
		pids[i] = child(worker, i % 50);
	ready();
	for (int left = workers; left > 0;) {
		int i = 0;

		CHECK((pid = wait(&status)) > 0);
		while (i < workers && pids[i] != pid)
			i++;
		CHECK(i < workers && WIFEXITED(status));
		if (WEXITSTATUS(status) == 77) {
			pids[i] = child(worker, i % 50);
			continue;
		}
		EQUAL(WEXITSTATUS(status), i % 50);
		left--;
	}
	EQUAL(area->done, tasks);
	EQUAL(area->deaths, 0);
	EQUAL(area->repaired, 8);
	snprintf(line, sizeof line, "sum %016llx of %llu tasks\n", (unsigned long long)area->sum, (unsigned long long)tasks);
	say(line);
	pass();
}

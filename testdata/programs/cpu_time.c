/*
 * After a restart CPU time goes on: in every clock, call and timer, for the process, two threads and the children. A thread or
 * child that is created after the restart begins at 0.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>

enum {
	PROCESS, PROCESS_BY_ID, OWN_THREAD, OTHER_THREAD, CLOCK, SELF_USER, SELF_SYSTEM, THREAD_USER, THREAD_SYSTEM,
	CHILDREN_USER, TIMES_USER, TIMES_SYSTEM, TIMES_CHILDREN, READINGS
};

static const char *const names[READINGS] = {
	"CLOCK_PROCESS_CPUTIME_ID", "clock_getcpuclockid", "CLOCK_THREAD_CPUTIME_ID", "pthread_getcpuclockid", "clock",
	"RUSAGE_SELF user", "RUSAGE_SELF system", "RUSAGE_THREAD user", "RUSAGE_THREAD system", "RUSAGE_CHILDREN user",
	"times user", "times system", "times children",
};

#define MOST 20.0 /* seconds of CPU time that a round may use on a busy machine */

static pthread_t worker;
static pthread_barrier_t meeting;
static volatile double worker_used;

static double now(clockid_t clock)
{
	struct timespec t;

	CHECK(clock_gettime(clock, &t) == 0);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Uses CPU time, some of it in the kernel. */
static void burn(double seconds)
{
	double start = now(CLOCK_THREAD_CPUTIME_ID);

	while (now(CLOCK_THREAD_CPUTIME_ID) < start + seconds)
		for (int i = 0; i < 1000; i++)
			if (i % 10 == 0)
				syscall(SYS_getppid);
}

static double seconds(struct timeval t)
{
	return t.tv_sec + t.tv_usec / 1e6;
}

static void read_all(double *have)
{
	struct rusage self, thread, children;
	clockid_t process, other;
	struct tms t;

	CHECK(clock_getcpuclockid(getpid(), &process) == 0);
	CHECK(pthread_getcpuclockid(worker, &other) == 0);
	CHECK(getrusage(RUSAGE_SELF, &self) == 0 && getrusage(RUSAGE_THREAD, &thread) == 0);
	CHECK(getrusage(RUSAGE_CHILDREN, &children) == 0);
	CHECK(times(&t) != -1);
	have[PROCESS] = now(CLOCK_PROCESS_CPUTIME_ID);
	have[PROCESS_BY_ID] = now(process);
	have[OWN_THREAD] = now(CLOCK_THREAD_CPUTIME_ID);
	have[OTHER_THREAD] = now(other);
	have[CLOCK] = (double)clock() / CLOCKS_PER_SEC;
	have[SELF_USER] = seconds(self.ru_utime);
	have[SELF_SYSTEM] = seconds(self.ru_stime);
	have[THREAD_USER] = seconds(thread.ru_utime);
	have[THREAD_SYSTEM] = seconds(thread.ru_stime);
	have[CHILDREN_USER] = seconds(children.ru_utime);
	have[TIMES_USER] = t.tms_utime / 100.0;
	have[TIMES_SYSTEM] = t.tms_stime / 100.0;
	have[TIMES_CHILDREN] = (t.tms_cutime + t.tms_cstime) / 100.0;
}

/* The worker's own clock shows at least what its clock of pthread_getcpuclockid(3) showed before, and grows. */
static void *work(void *arg)
{
	for (;;) {
		burn(0.2);
		worker_used = now(CLOCK_THREAD_CPUTIME_ID);
		pthread_barrier_wait(&meeting);
		pthread_barrier_wait(&meeting);
	}
	return arg;
}

static void together(void)
{
	pthread_barrier_wait(&meeting);
}

static pid_t busy_child(void)
{
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		if (now(CLOCK_PROCESS_CPUTIME_ID) > 0.1)
			_exit(2);
		burn(0.1);
		_exit(0);
	}
	return child;
}

static void *newcomer(void *arg)
{
	struct rusage usage;

	CHECK(now(CLOCK_THREAD_CPUTIME_ID) < 0.1);
	CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
	CHECK(seconds(usage.ru_utime) < 0.1);
	return arg;
}

static void check_new(void)
{
	pid_t child = busy_child();
	pthread_t thread;
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status));
	EQUAL(WEXITSTATUS(status), 0);
	CHECK(pthread_create(&thread, 0, newcomer, 0) == 0);
	CHECK(pthread_join(thread, 0) == 0);
}

/* A timer and a sleep, both until an absolute CPU time, while the worker is busy. */
static void check_until(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct itimerspec until = {{0, 0}, {0, 0}};
	struct timespec deadline;
	timer_t timer;
	sigset_t set;
	double due;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0);
	due = now(CLOCK_PROCESS_CPUTIME_ID) + 0.1;
	until.it_value.tv_sec = (time_t)due;
	until.it_value.tv_nsec = (due - (time_t)due) * 1e9;
	CHECK(timer_settime(timer, TIMER_ABSTIME, &until, 0) == 0);
	burn(0.15);
	CHECK(sigtimedwait(&set, 0, &(struct timespec){0, 0}) == SIGRTMIN);
	CHECK(timer_delete(timer) == 0);

	due = now(CLOCK_PROCESS_CPUTIME_ID) + 0.1;
	deadline = (struct timespec){(time_t)due, (due - (time_t)due) * 1e9};
	together(); /* the worker is busy for 0.2 s */
	EQUAL(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &deadline, 0), 0);
	due = now(CLOCK_PROCESS_CPUTIME_ID) - due;
	if (due < 0 || due > MOST)
		fail("clock_nanosleep was %g s late", due);
}

static void check(double *before, double worker_before)
{
	double after[READINGS];

	read_all(after);
	for (int i = 0; i < READINGS; i++)
		if (after[i] < before[i] || after[i] > before[i] + MOST)
			fail("%s was %g s, and is %g s", names[i], before[i], after[i]);
	check_new();
	check_until();
	together(); /* the worker has used CPU time once more */
	if (worker_used < worker_before + 0.2 || worker_used > worker_before + MOST)
		fail("the worker had used %g s, and now %g s", worker_before, worker_used);
}

int main(void)
{
	double before[READINGS];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, 0) == 0);
	CHECK(pthread_barrier_init(&meeting, 0, 2) == 0);
	CHECK(pthread_create(&worker, 0, work, 0) == 0);
	burn(0.3);
	CHECK(waitpid(busy_child(), 0, 0) > 0);
	together();
	read_all(before);
	CHECK(before[SELF_USER] + before[SELF_SYSTEM] > 0.4 && before[TIMES_CHILDREN] > 0.05);
	ready();
	for (int round = 1;; round++) {
		double worker_before = worker_used;
		char name[32];

		snprintf(name, sizeof name, "round-%d", round);
		while (access(name, F_OK)) {
			if (access("go", F_OK) == 0) {
				check(before, worker_before);
				pass();
			}
			pause_ms(2);
		}
		check(before, worker_before);
		read_all(before);
		printf("ROUND %d\n", round);
		fflush(stdout);
	}
}

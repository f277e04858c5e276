/*
 * Timers that expire during the checkpoint: 400 POSIX timers, 2 ms apart, and the alarms of 30 children, 20 ms apart. Each expires
 * once, so exactly one signal of each must come.
 */
#include "check.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { TIMERS = 400, CHILDREN = 30 };

static volatile sig_atomic_t expired[TIMERS], alarms;

static void on_timer(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	expired[info->si_value.sival_int]++;
}

static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

static int all_expired(void)
{
	for (int i = 0; i < TIMERS; i++)
		if (!expired[i])
			return 0;
	return 1;
}

static int has_alarm(void)
{
	return alarms > 0;
}

/*
 * await_all waits until "go" exists and every signal has come, and then a little longer, in case a signal comes twice. It does not wait
 * for a fixed time, because timers go on with the time that they had left. Signals may interrupt its sleeps.
 */
static void await_all(int (*done)(void))
{
	struct timespec end, moment = {0, 2000000};

	while (access("go", F_OK) || !done())
		nanosleep(&moment, 0);
	CHECK(!clock_gettime(CLOCK_MONOTONIC, &end));
	end.tv_sec++;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, 0))
		;
}

static pid_t child(int number)
{
	pid_t pid = fork();
	struct itimerval timer = {.it_value.tv_usec = 100000 + number * 20000};

	CHECK(pid >= 0);
	if (pid)
		return pid;
	CHECK(!setitimer(ITIMER_REAL, &timer, 0));
	await_all(has_alarm);
	EQUAL(alarms, 1);
	_exit(0);
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART};
	pid_t children[CHILDREN];
	int status;

	CHECK(!sigaction(SIGRTMIN, &action, 0));
	CHECK(signal(SIGALRM, on_alarm) != SIG_ERR);
	for (int i = 0; i < CHILDREN; i++)
		children[i] = child(i);
	for (int i = 0; i < TIMERS; i++) {
		struct sigevent event = {
			.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = i};
		struct itimerspec time = {.it_value.tv_nsec = 100000000 + i * 2000000};
		timer_t timer;
		CHECK(!timer_create(CLOCK_MONOTONIC, &event, &timer));
		CHECK(!timer_settime(timer, 0, &time, 0));
	}
	ready();
	await_all(all_expired);
	for (int i = 0; i < TIMERS; i++)
		if (expired[i] != 1)
			fail("timer %d has expired %d times, want once", i, (int)expired[i]);
	for (int i = 0; i < CHILDREN; i++) {
		EQUAL(waitpid(children[i], &status, 0), children[i]);
		EQUAL(status, 0);
	}
	pass();
}

/* Timers that expire between checkpoint and restart, or soon after: each fires exactly once. */
#include "check.h"

#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t fired[3];

static void on_alarm(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fired[sig == SIGALRM ? 0 : info->si_value.sival_int]++;
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval soon = {{0, 0}, {0, 300000}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct timespec now;
	timer_t timer;

	CHECK(sigaction(SIGALRM, &action, 0) == 0 && sigaction(SIGRTMIN, &action, 0) == 0);
	CHECK(setitimer(ITIMER_REAL, &soon, 0) == 0);
	event.sigev_value.sival_int = 1;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 400000000}}, 0) == 0);
	event.sigev_value.sival_int = 2;
	CHECK(timer_create(CLOCK_REALTIME, &event, &timer) == 0);
	CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
	CHECK(timer_settime(timer, TIMER_ABSTIME, &(struct itimerspec){{0, 0}, {now.tv_sec + 1, 0}}, 0) == 0);
	ready();
	/* No sleep here: an alarm may interrupt it. */
	while (access("go", F_OK) || !fired[0] || !fired[1] || !fired[2])
		;
	for (int i = 0; i < 3; i++)
		EQUAL(fired[i], 1);
	pass();
}

/*
 * An interval timer whose SIGALRM is blocked and pending. The kernel arms it again only when the program takes the
 * signal. It must still do so after a restart.
 */
#include "check.h"

#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

int main(void)
{
	struct itimerval often = {{0, 20000}, {0, 20000}};
	sigset_t block;

	CHECK(sigemptyset(&block) == 0 && sigaddset(&block, SIGALRM) == 0);
	CHECK(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	CHECK(signal(SIGALRM, on_alarm) != SIG_ERR);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	pause_ms(50);
	ready();
	await_go();
	CHECK(sigprocmask(SIG_UNBLOCK, &block, NULL) == 0);
	while (alarms < 5)
		;
	pass();
}

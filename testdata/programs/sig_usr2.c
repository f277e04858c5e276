/* A program with its own handler for SIGUSR2: every SIGUSR2 calls this handler. */
#include "check.h"

#include <signal.h>

static volatile sig_atomic_t mine;

static void on_usr2(int sig)
{
	(void)sig;
	mine++;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_usr2, .sa_flags = SA_RESTART}, now;

	CHECK(sigaction(SIGUSR2, &action, 0) == 0);
	CHECK(raise(SIGUSR2) == 0);
	EQUAL(mine, 1);
	ready();
	await_go();
	CHECK(sigaction(SIGUSR2, 0, &now) == 0 && now.sa_handler == on_usr2);
	CHECK(raise(SIGUSR2) == 0);
	EQUAL(mine, 2);
	pass();
}

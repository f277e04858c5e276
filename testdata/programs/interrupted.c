/*
 * A callback sends a signal during the freeze. The signal interrupts the blocked call, as it does without a checkpoint: poll
 * always fails with EINTR; flock fails with EINTR if the handler has no SA_RESTART, and stays blocked if it has.
 */
#include "check.h"

#include <crak.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>

static volatile sig_atomic_t handled[65];
static int next = SIGUSR1;

static void on_signal(int sig)
{
	handled[sig]++;
}

static void send(void *unused)
{
	(void)unused;
	if (next)
		CHECK(kill(getpid(), next) == 0);
}

int main(void)
{
	static const struct crak_callbacks callbacks = {.before = send};
	struct sigaction plain = {.sa_handler = on_signal}, restart = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int held = open("lock", O_CREAT | O_RDWR, 0600), wanted = open("lock", O_RDWR);

	CHECK(sigaction(SIGUSR1, &plain, 0) == 0 && sigaction(SIGTERM, &restart, 0) == 0);
	CHECK(held >= 0 && wanted >= 0 && flock(held, LOCK_EX) == 0);
	CHECK(crak_on(&callbacks) == 0);
	ready();
	EQUAL(poll(0, 0, -1), -1);
	EQUAL(errno, EINTR);
	EQUAL(handled[SIGUSR1], 1);
	say("POLLED\n");
	EQUAL(flock(wanted, LOCK_EX), -1);
	EQUAL(errno, EINTR);
	EQUAL(handled[SIGUSR1], 2);
	next = SIGTERM;
	say("LOCKED\n");
	EQUAL(flock(wanted, LOCK_EX), -1);
	EQUAL(handled[SIGTERM], 1); /* flock stayed blocked until SIGUSR1 */
	EQUAL(handled[SIGUSR1], 3);
	await_go();
	pass();
}

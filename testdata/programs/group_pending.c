/* Signals that members have sent to each other, and that are blocked and pending: in their order, with sender and value. */
#include "group.h"

static sigset_t set;

static void expect(int sig, pid_t from, int code, int value)
{
	siginfo_t info;

	EQUAL(sigtimedwait(&set, &info, &(struct timespec){0, 0}), sig);
	EQUAL(info.si_pid, from);
	EQUAL(info.si_code, code);
	EQUAL(info.si_uid, getuid());
	if (code == SI_QUEUE)
		EQUAL(info.si_value.sival_int, value);
}

static int kid(long number)
{
	pid_t root = getppid();

	mark("kid");
	await_mark("sent");
	CHECK(sigqueue(root, SIGRTMIN + 1, (union sigval){.sival_int = 77}) == 0);
	CHECK(kill(root, SIGHUP) == 0);
	mark("answered");
	await_go();
	expect(SIGUSR1, root, SI_USER, 0);
	expect(SIGRTMIN, root, SI_QUEUE, 1);
	expect(SIGRTMIN, root, SI_QUEUE, 2);
	expect(SIGRTMIN, root, SI_QUEUE, 3);
	EQUAL(sigtimedwait(&set, 0, &(struct timespec){0, 0}), -1);
	return number;
}

int main(void)
{
	pid_t one;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	one = child(kid, 4);
	await_mark("kid");
	for (int i = 1; i <= 3; i++)
		CHECK(sigqueue(one, SIGRTMIN, (union sigval){.sival_int = i}) == 0);
	CHECK(kill(one, SIGUSR1) == 0);
	mark("sent");
	await_mark("answered");
	ready();
	await_go();
	expect(SIGHUP, one, SI_USER, 0);
	expect(SIGRTMIN + 1, one, SI_QUEUE, 77);
	EQUAL(sigtimedwait(&set, 0, &(struct timespec){0, 0}), -1);
	reap(one, 4);
	pass();
}

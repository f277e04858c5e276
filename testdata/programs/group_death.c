/* PR_SET_PDEATHSIG between members: no signal comes before the parent ends, and then it comes. */
#include "group.h"

static int waiter(long unused)
{
	sigset_t set;
	siginfo_t info;
	pid_t parent = getppid();
	int sig = 0;

	(void)unused;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
	mark("waiter");
	await_go();
	CHECK(prctl(PR_GET_PDEATHSIG, &sig) == 0);
	EQUAL(sig, SIGUSR1);
	EQUAL(sigtimedwait(&set, &info, &(struct timespec){0, 0}), -1);
	EQUAL(getppid(), parent);
	mark("heard-nothing");
	EQUAL(sigwaitinfo(&set, &info), SIGUSR1);
	EQUAL(info.si_pid, parent);
	mark("heard");
	return 0;
}

static int parent(long code)
{
	child(waiter, 0);
	await_mark("heard-nothing");
	return code;
}

int main(void)
{
	pid_t kid;

	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	kid = child(parent, 5);
	await_mark("waiter");
	ready();
	await_go();
	reap(kid, 5);
	await_mark("heard");
	CHECK(wait(0) > 0);
	pass();
}

/* Process groups: one with its leader, one whose leader has ended, and signals to each group as a whole. */
#include "group.h"

static sigset_t set;

/* Counts the SIGUSR1 that it gets until SIGALRM. */
static int counter(long group)
{
	int got, n = 0;

	CHECK(setpgid(0, group) == 0);
	mark("member-%d", getpid());
	while ((got = sigwaitinfo(&set, 0)) != SIGALRM) {
		EQUAL(got, SIGUSR1);
		if (group)
			EQUAL(getpgrp(), group);
		n++;
	}
	return n;
}

static int leave(long unused)
{
	(void)unused;
	CHECK(setpgid(0, 0) == 0);
	await_mark("joined");
	return 0;
}

int main(void)
{
	pid_t leader, member, gone, left[2];

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGALRM);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	leader = child(counter, 0);
	await_mark("member-%d", leader);
	member = child(counter, leader);
	gone = child(leave, 0);
	while (getpgid(gone) != gone)
		pause_ms(1);
	left[0] = child(counter, gone);
	left[1] = child(counter, gone);
	await_mark("member-%d", member);
	await_mark("member-%d", left[0]);
	await_mark("member-%d", left[1]);
	mark("joined");
	reap(gone, 0);
	ready();
	await_go();
	EQUAL(getpgid(leader), leader);
	EQUAL(getpgid(member), leader);
	EQUAL(getpgid(left[0]), gone);
	EQUAL(getpgid(left[1]), gone);
	CHECK(kill(-gone, SIGUSR1) == 0);
	CHECK(kill(-gone, SIGALRM) == 0);
	reap(left[0], 1);
	reap(left[1], 1);
	EQUAL(kill(-gone, 0), -1);
	EQUAL(errno, ESRCH);
	CHECK(kill(-leader, SIGALRM) == 0);
	reap(member, 0);
	reap(leader, 0);
	pass();
}

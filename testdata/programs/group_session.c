/* Sessions: one with two process groups and its leader, one whose leader has ended, and one within it. */
#include "group.h"

static pid_t session;

static int member(long group)
{
	pid_t want = group ? group : getpid();

	CHECK(setpgid(0, group) == 0);
	EQUAL(getsid(0), session);
	mark("member-%d", getpid());
	while (access("go", F_OK)) {
		EQUAL(getsid(0), session);
		EQUAL(getpgrp(), want);
		pause_ms(1);
	}
	return 1;
}

static int leader(long number)
{
	pid_t first, second;

	session = getpid();
	EQUAL(setsid(), session);
	first = child(member, 0);
	await_mark("member-%d", first);
	second = child(member, first);
	await_mark("member-%d", second);
	mark("leader");
	await_go();
	EQUAL(getsid(0), session);
	EQUAL(getpgrp(), session);
	reap(first, 1);
	reap(second, 1);
	return number;
}

/* When the leader of the session ends, this process becomes a child of the root, a subreaper. */
static int left(void)
{
	pid_t inner;

	mark("left-%d", session);
	inner = child(member, 0);
	await_mark("member-%d", inner);
	mark("inner");
	await_go();
	EQUAL(getsid(0), session);
	EQUAL(getpgrp(), session);
	EQUAL(getsid(inner), session);
	reap(inner, 1);
	return 4;
}

static int leaver(long number)
{
	session = getpid();
	EQUAL(setsid(), session);
	if (fork() == 0)
		_exit(left());
	await_mark("left-%d", session);
	return number;
}

int main(void)
{
	pid_t lead, leave;
	int status;

	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	lead = child(leader, 2);
	leave = child(leaver, 3);
	reap(leave, 3);
	await_mark("leader");
	await_mark("inner");
	ready();
	await_go();
	EQUAL(getsid(lead), lead);
	reap(lead, 2);
	EQUAL(wait(&status) > 0, 1);
	EQUAL(status, 4 << 8);
	pass();
}

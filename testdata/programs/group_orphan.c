/*
 * A daemon: forked twice, in a session whose leader has ended, reparented to init or to a subreaper. And an orphan that leads a
 * session of its own.
 */
#include "group.h"

static pid_t root;

/* live is what an orphan does when its parent has ended. */
static void live(const char *name, pid_t maker, pid_t session, pid_t group)
{
	pid_t self = getpid();

	while (getppid() == maker)
		pause_ms(1);
	mark("%s", name);
	while (access("go", F_OK)) {
		EQUAL(getpid(), self);
		EQUAL(getsid(0), session);
		EQUAL(getpgrp(), group);
		CHECK(getppid() != root && getppid() != maker);
		pause_ms(1);
	}
	EQUAL(getsid(0), session);
	EQUAL(getpgrp(), group);
	mark("%s-ended", name);
	_exit(0);
}

/* The session leader forks the daemon and ends. */
static int leader(long unused)
{
	pid_t self = getpid();

	(void)unused;
	EQUAL(setsid(), self);
	if (fork() == 0)
		live("daemon", self, self, self);
	return 1;
}

static int maker(long unused)
{
	pid_t self = getpid();

	(void)unused;
	if (fork() == 0) {
		EQUAL(setsid(), getpid());
		live("alone", self, getpid(), getpid());
	}
	return 2;
}

int main(void)
{
	root = getpid();
	reap(child(leader, 0), 1);
	reap(child(maker, 0), 2);
	await_mark("daemon");
	await_mark("alone");
	ready();
	await_go();
	await_mark("daemon-ended");
	await_mark("alone-ended");
	EQUAL(waitpid(-1, 0, WNOHANG), -1);
	EQUAL(errno, ECHILD);
	pass();
}

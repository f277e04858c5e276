/* Children by clone(2): with another exit signal and with none, and a sibling that the child has made (CLONE_PARENT). */
#include "group.h"

#include <sched.h>

static char stacks[3][65536] __attribute__((aligned(16)));

static int work(void *arg)
{
	long number = (long)arg;

	mark("clone-%ld", number);
	await_mark("end-%ld", number);
	return number;
}

static int make_sibling(long code)
{
	pid_t pid = clone(work, stacks[2] + sizeof stacks[2], CLONE_PARENT, (void *)3);

	CHECK(pid > 0);
	mark("sibling-%d", pid);
	await_go();
	return code;
}

int main(void)
{
	pid_t none, other, maker;
	sigset_t set;
	siginfo_t info;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	none = clone(work, stacks[0] + sizeof stacks[0], 0, (void *)1);
	other = clone(work, stacks[1] + sizeof stacks[1], SIGUSR1, (void *)2);
	CHECK(none > 0 && other > 0);
	maker = child(make_sibling, 9);
	await_mark("clone-1");
	await_mark("clone-2");
	await_mark("clone-3");
	ready();
	await_go();
	EQUAL(sigwaitinfo(&set, &info), SIGCHLD);
	EQUAL(info.si_pid, maker);
	reap(maker, 9);
	/* The sibling has the exit signal of the process that made it. */
	mark("end-3");
	EQUAL(sigwaitinfo(&set, &info), SIGCHLD);
	EQUAL(waitpid(info.si_pid, &status, 0), info.si_pid);
	EQUAL(status, 3 << 8);
	mark("end-2");
	EQUAL(sigwaitinfo(&set, &info), SIGUSR1);
	EQUAL(info.si_pid, other);
	EQUAL(waitpid(other, &status, WNOHANG), -1);
	EQUAL(errno, ECHILD);
	EQUAL(waitpid(other, &status, __WCLONE), other);
	EQUAL(status, 2 << 8);
	mark("end-1");
	EQUAL(waitpid(none, &status, __WALL), none);
	EQUAL(status, 1 << 8);
	EQUAL(sigtimedwait(&set, &info, &(struct timespec){0, 0}), -1);
	pass();
}

/*
 * A program that needs its child for a pipe, for shared memory, or to wait for: `group_only pipe`, `memory` or `wait`. With
 * `hidden` the child has a pipe, and is not dumpable. With `none` the program does not need the child after a restart.
 */
#include "group.h"

static int hidden;

static int live(long end)
{
	CHECK(prctl(PR_SET_NAME, "child") == 0);
	if (end >= 0)
		CHECK(close(end) == 0);
	if (hidden)
		CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
	mark("child");
	await_go();
	return 0;
}

static void begin_wait(pid_t pid)
{
	/* Another child says READY when this process waits. */
	if (fork() == 0) {
		await_call(getppid(), SYS_wait4);
		ready();
		_exit(0);
	}
	reap(pid, 0);
}

int main(int argc, char **argv)
{
	int ends[2] = { -1, -1 };
	pid_t pid;

	CHECK(argc == 2);
	hidden = strcmp(argv[1], "hidden") == 0;
	if (hidden || strcmp(argv[1], "pipe") == 0)
		CHECK(pipe2(ends, O_CLOEXEC) == 0);
	if (strcmp(argv[1], "memory") == 0)
		shared(4096);
	pid = child(live, ends[0]);
	if (ends[1] >= 0)
		CHECK(close(ends[1]) == 0);
	await_mark("child");
	if (strcmp(argv[1], "wait") == 0)
		begin_wait(pid);
	ready();
	await_go();
	waitpid(pid, 0, 0); /* ECHILD after a restart without it */
	pass();
}

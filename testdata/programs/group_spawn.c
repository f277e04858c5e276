/*
 * Processes that make children all the time, by fork, vfork and posix_spawn. A child of vfork(2) shares the memory of its parent
 * until it executes: one of them takes its time before that.
 */
#include "group.h"

#include <spawn.h>

enum { FORK, VFORK, SPAWN, SLOW_VFORK, SHELL, WAYS };

extern char **environ;

static pid_t make(long way)
{
	char *argv[] = {way == SHELL ? "sh" : "true", "-c", "exit 0", 0};
	pid_t pid;

	if (way == SPAWN || way == SHELL) {
		EQUAL(posix_spawn(&pid, way == SHELL ? "/bin/sh" : "/bin/true", 0, 0, argv, environ), 0);
		return pid;
	}
	pid = way == FORK ? fork() : vfork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (way == SLOW_VFORK)
			nanosleep(&(struct timespec){0, 100000000}, 0);
		if (way == FORK)
			_exit(0);
		execv("/bin/true", argv);
		_exit(99);
	}
	return pid;
}

static int work(long way)
{
	reap(make(way), 0);
	mark("way-%ld", way);
	while (access("go", F_OK))
		reap(make(way), 0);
	return way;
}

int main(void)
{
	pid_t kids[WAYS];

	for (int way = 0; way < WAYS; way++)
		kids[way] = child(work, way);
	for (int way = 0; way < WAYS; way++)
		await_mark("way-%d", way);
	ready();
	await_go();
	for (int way = 0; way < WAYS; way++)
		reap(kids[way], way);
	pass();
}

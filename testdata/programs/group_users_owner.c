/*
 * Run by root: processes of root and of another user have sockets with I/O signals. The signals go to root's process. The kernel sends those
 * alone that root has asked for.
 */
#include "group.h"

#include <sys/socket.h>

enum { BY_USER, SHARED_BY_USER, SHARED_BY_ROOT, KINDS };

static int number(int kind) { return SIGRTMIN + 3 + kind; }

/* ask lets a process have a signal when a socket can be read. */
static void ask(int fd, pid_t owner, int kind)
{
	CHECK(fcntl(fd, F_SETOWN, owner) == 0 && fcntl(fd, F_SETSIG, number(kind)) == 0);
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) == 0);
}

static void put(int fd) { CHECK(write(fd, "x", 1) == 1); }

/* signalled waits for the signal that root has asked for. */
static void signalled(const sigset_t *all)
{
	int got = sigwaitinfo(all, NULL);

	if (got != number(SHARED_BY_ROOT))
		fail("signal %d of the other user", got - number(0));
}

int main(void)
{
	int both[KINDS][2];
	pid_t root = getpid(), pid;
	sigset_t all;

	sigemptyset(&all);
	for (int kind = 0; kind < KINDS; kind++) {
		sigaddset(&all, number(kind));
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both[kind]) == 0);
	}
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
	ask(both[SHARED_BY_ROOT][0], root, SHARED_BY_ROOT);
	CHECK((pid = fork()) >= 0);
	if (pid == 0) {
		CHECK(setresgid(3001, 3001, 3001) == 0 && setresuid(3000, 3000, 3000) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
		for (int kind = BY_USER; kind <= SHARED_BY_USER; kind++)
			ask(both[kind][0], root, kind);
		for (int kind = 0; kind < KINDS; kind++)
			put(both[kind][1]);
		await_file("go");
		for (int kind = 0; kind < KINDS; kind++)
			put(both[kind][1]);
		return 0;
	}
	CHECK(close(both[BY_USER][0]) == 0);
	signalled(&all);
	ready();
	await_go();
	signalled(&all);
	reap(pid, 0);
	CHECK(sigpending(&all) == 0);
	for (int kind = 0; kind < KINDS; kind++)
		CHECK(!sigismember(&all, number(kind)));
	pass();
}

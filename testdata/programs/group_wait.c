/* Processes that are blocked in wait(2) and its relatives, in each way of naming the children. No call may fail with EINTR. */
#include "group.h"

enum { WAIT, WAITPID, WAITPID_GROUP, WAITID, WAITID_ALL, WAITID_GROUP, SUSPEND, WAYS };

static int last(long code)
{
	pause_ms(code * 5);
	await_go();
	return code;
}

static void nothing(int unused) { (void)unused; }

static void waitid_for(idtype_t type, id_t id, pid_t kid, long way)
{
	siginfo_t info = {0};

	CHECK(waitid(type, id, &info, WEXITED) == 0);
	EQUAL(info.si_pid, kid);
	EQUAL(info.si_status, way);
}

static int waiter(long way)
{
	int status = -1;
	sigset_t set, before;
	pid_t kid;

	if (way == SUSPEND) {
		struct sigaction action = {.sa_handler = nothing};

		sigemptyset(&set);
		sigaddset(&set, SIGCHLD);
		CHECK(sigaction(SIGCHLD, &action, 0) == 0);
		CHECK(sigprocmask(SIG_BLOCK, &set, &before) == 0);
	}
	kid = child(last, way);
	if (way == WAITPID_GROUP || way == WAITID_GROUP)
		CHECK(setpgid(kid, kid) == 0);
	mark("way-%ld", way);
	switch (way) {
	case WAIT:
		EQUAL(wait(&status), kid);
		EQUAL(status, way << 8);
		break;
	case WAITPID:
		EQUAL(waitpid(kid, &status, 0), kid);
		EQUAL(status, way << 8);
		break;
	case WAITPID_GROUP:
		EQUAL(waitpid(-kid, &status, 0), kid);
		EQUAL(status, way << 8);
		break;
	case WAITID:
		waitid_for(P_PID, kid, kid, way);
		break;
	case WAITID_ALL:
		waitid_for(P_ALL, 0, kid, way);
		break;
	case WAITID_GROUP:
		waitid_for(P_PGID, kid, kid, way);
		break;
	case SUSPEND:
		EQUAL(sigsuspend(&before), -1);
		EQUAL(errno, EINTR);
		reap(kid, way);
	}
	return 100 + way;
}

int main(void)
{
	static const long calls[WAYS] = {SYS_wait4, SYS_wait4, SYS_wait4, SYS_waitid, SYS_waitid, SYS_waitid, SYS_rt_sigsuspend};
	pid_t kids[WAYS];

	for (int way = 0; way < WAYS; way++)
		kids[way] = child(waiter, way);
	for (int way = 0; way < WAYS; way++)
		await_call(kids[way], calls[way]);
	ready();
	await_go();
	for (int way = 0; way < WAYS; way++)
		reap(kids[way], 100 + way);
	pass();
}

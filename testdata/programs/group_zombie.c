/*
 * Zombies: children that have ended, by exit and by signals, in process groups of their own, and that nobody has waited for
 * yet. One of them is the child of a child. SIGCHLD was delivered for each, or is pending, and must not come again.
 */
#include "group.h"

#include <sys/resource.h>

static volatile sig_atomic_t told; /* how many children SIGCHLD has reported */

static void on_child(int unused)
{
	(void)unused;
	told++;
}

static int end_by_code(long code) { return code; }

static int end_by_signal(long sig)
{
	prctl(PR_SET_NAME, "ended-by-signal");
	signal(sig, SIG_DFL);
	raise(sig);
	fail("signal %ld", sig);
}

static int end_in_group(long code)
{
	CHECK(setpgid(0, 0) == 0);
	return code;
}

static int end_in_session(long code)
{
	EQUAL(setsid(), getpid());
	return code;
}

/* A child that has a zombie and has SIGCHLD blocked. */
static int parent(long code)
{
	siginfo_t info;
	sigset_t set;
	pid_t kid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	kid = child(end_by_code, 33);
	await_end(kid);
	mark("parent");
	await_file("collect");
	EQUAL(sigwaitinfo(&set, &info), SIGCHLD);
	EQUAL(info.si_pid, kid);
	EQUAL(info.si_status, 33);
	reap(kid, 33);
	EQUAL(sigtimedwait(&set, &info, &(struct timespec){0, 0}), -1);
	return code;
}

static void collect(pid_t pid, int how, int value)
{
	siginfo_t info = {0};

	EQUAL(state_of(pid), 'Z');
	CHECK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
	EQUAL(info.si_pid, pid);
	EQUAL(info.si_code, how);
	EQUAL(info.si_status, value);
	EQUAL(info.si_uid, getuid());
	EQUAL(waitpid(pid, 0, WNOHANG), pid);
	EQUAL(waitpid(pid, 0, WNOHANG), -1);
}

int main(void)
{
	struct rlimit none = {0, 0};
	pid_t zero, code, killed, fault, group, session, alive;
	char name[32], comm[32];
	int status;

	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	zero = child(end_by_code, 0);
	code = child(end_by_code, 200);
	killed = child(end_by_signal, SIGKILL);
	fault = child(end_by_signal, SIGSEGV);
	group = child(end_in_group, 5);
	session = child(end_in_session, 6);
	alive = child(parent, 7);
	await_end(zero);
	await_end(code);
	await_end(killed);
	await_end(fault);
	await_end(group);
	await_end(session);
	await_file("parent");
	signal(SIGCHLD, on_child);
	ready();
	await_go();
	EQUAL(told, 0);
	signal(SIGCHLD, SIG_DFL);
	mark("collect");

	snprintf(name, sizeof name, "/proc/%d/comm", fault);
	slurp(name, comm, sizeof comm);
	CHECK(!strcmp(comm, "ended-by-signal\n"));
	EQUAL(getpgid(group), group);
	EQUAL(getsid(session), session);
	collect(zero, CLD_EXITED, 0);
	collect(code, CLD_EXITED, 200);
	collect(killed, CLD_KILLED, SIGKILL);
	collect(fault, CLD_KILLED, SIGSEGV);
	EQUAL(waitpid(-group, &status, WNOHANG), group);
	EQUAL(status, 5 << 8);
	collect(session, CLD_EXITED, 6);
	reap(alive, 7);
	pass();
}

/*
 * group_stopped: job control. Children are stopped. For one of them the parent has already waited, for the others it
 * has not. They stay stopped, do not run meanwhile, and go on with SIGCONT. wait(2) reports only stops that it has
 * not reported before, with the right signal.
 */
#include "group.h"

static unsigned long *ticks;
static volatile sig_atomic_t told, continued;

static void on_child(int unused)
{
	(void)unused;
	told++;
}

static void on_continue(int unused)
{
	(void)unused;
	continued++;
}

static int worker(long number)
{
	signal(SIGCONT, on_continue);
	mark("worker-%ld", number);
	while (!continued) {
		ticks[number]++;
		usleep(1000);
	}
	return number;
}

/* Waits for SIGCHLD as well: the kernel sends it a moment after /proc shows the state T. */
static pid_t stopped(long number, int sig)
{
	pid_t pid = child(worker, number);
	siginfo_t info;
	sigset_t set;

	await_mark("worker-%ld", number);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	CHECK(kill(pid, sig) == 0);
	EQUAL(sigwaitinfo(&set, &info), SIGCHLD);
	EQUAL(info.si_code, CLD_STOPPED);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, 0) == 0);
	await_state(pid, 'T');
	return pid;
}

static void go_on(pid_t pid, int number)
{
	int status;

	CHECK(kill(pid, SIGCONT) == 0);
	EQUAL(waitpid(pid, &status, 0), pid);
	EQUAL(status, number << 8);
}

int main(void)
{
	enum { KNOWN, NEW, TERMINAL, COUNT };
	pid_t pids[COUNT];
	unsigned long before[COUNT];
	int status;

	/* A file, so that memory between processes is another test. */
	int fd = open("ticks", O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
	ticks = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(ticks != MAP_FAILED && close(fd) == 0);
	pids[KNOWN] = stopped(KNOWN, SIGSTOP);
	EQUAL(waitpid(pids[KNOWN], &status, WUNTRACED), pids[KNOWN]);
	CHECK(WIFSTOPPED(status));
	pids[NEW] = stopped(NEW, SIGSTOP);
	pids[TERMINAL] = stopped(TERMINAL, SIGTSTP);
	for (int i = 0; i < COUNT; i++)
		before[i] = ticks[i];
	signal(SIGCHLD, on_child);
	ready();
	await_go();
	EQUAL(told, 0);
	signal(SIGCHLD, SIG_DFL);
	for (int i = 0; i < COUNT; i++) {
		EQUAL(state_of(pids[i]), 'T');
		EQUAL(ticks[i], before[i]);
	}
	EQUAL(waitpid(pids[KNOWN], &status, WUNTRACED | WNOHANG), 0);
	EQUAL(waitpid(pids[NEW], &status, WUNTRACED | WNOHANG), pids[NEW]);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	EQUAL(waitpid(pids[TERMINAL], &status, WUNTRACED | WNOHANG), pids[TERMINAL]);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
	for (int i = 0; i < COUNT; i++)
		go_on(pids[i], i);
	pass();
}

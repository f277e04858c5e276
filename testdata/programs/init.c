/*
 * Process 1 of a PID namespace, with threads. After a restart the kernel still treats it as process 1: orphans become its children,
 * and signals without a handler do nothing.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static volatile int thread_tid;
static volatile sig_atomic_t taken;

static void take(int sig)
{
	taken = sig;
}

static void *stay(void *arg)
{
	thread_tid = syscall(SYS_gettid);
	for (;;)
		pause();
	return arg;
}

/* Makes a child that makes a child and exits, so that process 1 adopts the orphan. Returns the orphan's PID. */
static pid_t orphan(void)
{
	int ends[2];
	pid_t child, left;

	CHECK(pipe(ends) == 0);
	CHECK((child = fork()) >= 0);
	if (child == 0) {
		if ((left = fork()) == 0)
			_exit(7);
		_exit(write(ends[1], &left, sizeof left) != sizeof left);
	}
	CHECK(waitpid(child, 0, 0) == child);
	CHECK(read(ends[0], &left, sizeof left) == sizeof left);
	CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
	return left;
}

static void is_first(pthread_t thread)
{
	char path[64], text[1024];
	int status;

	EQUAL(getpid(), 1);
	EQUAL(getppid(), 0);
	CHECK(signal(SIGTERM, SIG_DFL) != SIG_ERR);
	CHECK(kill(1, SIGTERM) == 0 && kill(1, SIGKILL) == 0);
	CHECK(signal(SIGTERM, take) != SIG_ERR);
	taken = 0;
	CHECK(kill(1, SIGTERM) == 0);
	while (!taken)
		pause_ms(1);
	snprintf(path, sizeof path, "/proc/1/task/%d/stat", thread_tid);
	CHECK(slurp(path, text, sizeof text) > 0);
	CHECK(pthread_kill(thread, 0) == 0);
	pid_t left = orphan();
	CHECK(waitpid(left, &status, 0) == left);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	/* For a directory in another mount namespace the kernel returns "(unreachable)/...". */
	CHECK(getcwd(text, sizeof text) && text[0] == '/');
}

int main(void)
{
	pthread_t thread;
	sigset_t all, old;

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_BLOCK, &all, &old) == 0);
	CHECK(pthread_create(&thread, 0, stay, 0) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, &old, 0) == 0);
	while (!thread_tid)
		pause_ms(1);
	is_first(thread);
	ready();
	for (int round = 1;; round++) {
		char name[32];

		snprintf(name, sizeof name, "round-%d", round);
		while (access(name, F_OK)) {
			if (access("go", F_OK) == 0) {
				is_first(thread);
				pass();
			}
			pause_ms(2);
		}
		is_first(thread);
		printf("ROUND %d\n", round);
		fflush(stdout);
	}
}

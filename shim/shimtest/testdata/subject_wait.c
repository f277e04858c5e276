/* Modes that wait for children: no wait may report the reaper or the twin. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crak.h"
#include "subject.h"

static int stop;

/* Checks the result of a wait without a child to report. */
static void no_child(long result)
{
	if (result != -1 || errno != ECHILD)
		say("ANSWER", result);
}

/* Waits for every kind of child. There is none. */
static void *wait_in_vain(void *unused)
{
	struct rusage usage;
	siginfo_t info;
	int status;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		no_child(waitpid(-1, &status, __WALL));
		no_child(waitpid(-1, &status, __WALL | WNOHANG));
		no_child(wait3(&status, __WCLONE | WUNTRACED, &usage));
		no_child(wait4(-1, &status, __WCLONE | WNOHANG, &usage));
		no_child(waitid(P_ALL, 0, &info, WEXITED | __WALL));
		no_child(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG | __WCLONE));
	}
	return unused;
}

static void checkpoints(int expected)
{
	for (int i = 0; i < 4; i++) {
		int result;

		if (i % 2)
			kill(getpid(), SIGUSR2);
		while ((result = crak_checkpoint()) == -EBUSY)
			usleep(1000);
		if (result != expected)
			say("RESULT", result);
	}
}

void childless(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, wait_in_vain, NULL);
	checkpoints(0);
	stop = 1;
	pthread_join(thread, NULL);
	say("DONE", 0);
}

static int kind; /* of wait */

/* Waits for the one child. */
static void *wait_for_child(void *pid)
{
	int status = 0;
	siginfo_t info = { 0 };

	if (kind == 0)
		*(pid_t *)pid = waitpid(-1, &status, __WALL);
	else if (kind == 1)
		*(pid_t *)pid = wait4(0, &status, __WALL | WUNTRACED, NULL);
	else if (waitid(P_ALL, 0, &info, WEXITED | __WALL) == 0)
		*(pid_t *)pid = info.si_pid, status = W_EXITCODE(info.si_status, 0);
	no_child(waitpid(-1, &status, __WALL));
	return (void *)(long)status;
}

/* A thread waits for every kind of child while writers run. The program has one child, of either kind. */
void waits(void)
{
	for (int round = 0; round < 6; round++) {
		int ends[2] = { -1, -1 };
		pid_t child, seen = 0;
		pthread_t thread;
		void *status;

		kind = round % 3;
		if (pipe(ends))
			say("PIPE", errno);
		child = round < 3 ? fork() : syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
		if (child == 0) {
			char c;

			close(ends[1]);
			_exit(read(ends[0], &c, 1) == 0 ? 7 : 1);
		}
		pthread_create(&thread, NULL, wait_for_child, &seen);
		checkpoints(0);
		close(ends[1]);
		pthread_join(thread, &status);
		close(ends[0]);
		if (seen != child || WEXITSTATUS((long)status) != 7)
			say("SEEN", seen);
	}
	say("DONE", 0);
}

static int count_sockets(void)
{
	struct stat stat;
	int count = 0;

	for (int fd = 3; fd < 64; fd++)
		count += fstat(fd, &stat) == 0 && S_ISSOCK(stat.st_mode);
	return count;
}

/* Forks when the resident has a socket to a writer. */
static void *fork_meanwhile(void *unused)
{
	int status;
	pid_t child;

	say("STARTED", 0); /* an order that comes while a program's first thread is made may be lost */
	while (count_sockets() == 0)
		sched_yield();
	child = fork();
	if (child == 0)
		_exit(count_sockets());
	waitpid(child, &status, 0);
	say("LEFT", WEXITSTATUS(status));
	return unused;
}

void forks(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, fork_meanwhile, NULL);
	pthread_join(thread, NULL);
}

static void *wait_without_end(void *unused)
{
	int status;

	waitpid(-1, &status, __WALL);
	return unused;
}

/* A wait is a cancellation point. */
void cancelled(void)
{
	pid_t child = fork();
	pthread_t thread;
	void *result;

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* in case the test fails */
		for (;;)
			pause();
	}
	pthread_create(&thread, NULL, wait_without_end, NULL);
	checkpoints(0);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("CANCELLED", result == PTHREAD_CANCELED);
	kill(child, SIGKILL);
	say("CHILD", waitpid(child, NULL, __WALL) == child);
}

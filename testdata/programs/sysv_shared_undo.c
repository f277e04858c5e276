/*
 * sysv_shared_undo: two processes share their adjustments of semaphores (CLONE_SYSVSEM), or a thread has adjustments of its own.
 * The set is removed at the end.
 */
#include "group.h"

#include <pthread.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/sem.h>

static int set;
static volatile int apart;

static void post(void)
{
	CHECK(semop(set, &(struct sembuf){0, 1, SEM_UNDO}, 1) == 0);
}

static void *own(void *unused)
{
	(void)unused;
	CHECK(unshare(CLONE_SYSVSEM) == 0);
	post();
	apart = 1;
	for (;;)
		pause();
}

int main(int count, char **arguments)
{
	pthread_t thread;
	pid_t pid = 0;

	set = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	CHECK(set >= 0);
	if (count > 1 && !strcmp(arguments[1], "thread")) {
		CHECK(pthread_create(&thread, 0, own, 0) == 0);
		while (!apart)
			pause_ms(1);
	} else {
		pid = syscall(SYS_clone, CLONE_SYSVSEM | SIGCHLD, 0, 0, 0, 0);
		CHECK(pid >= 0);
		if (pid == 0) {
			await_go();
			_exit(0);
		}
		post();
	}
	ready();
	await_go();
	if (pid)
		reap(pid, 0);
	CHECK(semctl(set, 0, IPC_RMID) == 0);
	pass();
}

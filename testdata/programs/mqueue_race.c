/*
 * Processes that wait for the notification of a message (mq_notify(3)), and a process that sends the messages as soon as it runs again after
 * the restart. It sees by a file that it was restarted.
 */
#include "group.h"

#include <mqueue.h>

#define RECEIVERS 8

static mqd_t queues[RECEIVERS];

static int receives(long i)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
	char text[8];
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, SIGRTMIN + 1);
	CHECK(sigprocmask(SIG_BLOCK, &one, NULL) == 0);
	CHECK(mq_notify(queues[i], &event) == 0);
	mark("asked-%ld", i);
	if (sigtimedwait(&one, NULL, &(struct timespec){20, 0}) != SIGRTMIN + 1)
		return 1;
	return mq_receive(queues[i], text, sizeof text, NULL) == 4 ? 0 : 2;
}

int main(void)
{
	struct mq_attr limits = {.mq_maxmsg = 1, .mq_msgsize = 8};
	pid_t pids[RECEIVERS];
	char name[40];

	for (long i = 0; i < RECEIVERS; i++) {
		snprintf(name, sizeof name, "/crak-race-%d-%ld", getpid(), i);
		queues[i] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &limits);
		CHECK(queues[i] >= 0 && mq_unlink(name) == 0);
	}
	for (long i = 0; i < RECEIVERS; i++)
		pids[i] = child(receives, i);
	for (long i = 0; i < RECEIVERS; i++)
		await_mark("asked-%ld", i);
	ready();
	while (access("restarted", F_OK))
		;
	for (long i = 0; i < RECEIVERS; i++)
		CHECK(mq_send(queues[i], "next", 4, 1) == 0);
	for (long i = 0; i < RECEIVERS; i++)
		reap(pids[i], 0);
	pass();
}

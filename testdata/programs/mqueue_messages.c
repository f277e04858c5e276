/*
 * POSIX message queues with messages of several priorities: one with a name, one that was removed, and one that is full. Messages come out
 * in the order of their priorities, and of their sending within one. A child waits for room in the full queue.
 */
#include "group.h"

#include <mqueue.h>

static const struct {
	const char *text;
	unsigned priority;
} sent[] = {{"low", 0}, {"middle", 5}, {"high", 32767}, {"", 5}, {"middle again", 5}, {"low again", 0}};
static const int order[] = {2, 1, 3, 4, 0, 5};

static mqd_t queues[2], full;
static char name[40];

static mqd_t opened(const char *what, long messages, long size)
{
	struct mq_attr a = {.mq_maxmsg = messages, .mq_msgsize = size};
	mqd_t q;

	snprintf(name, sizeof name, "/crak-%s-%d", what, getpid());
	q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &a);
	CHECK(q >= 0);
	return q;
}

static int waits(long unused)
{
	struct mq_attr blocking = {0};

	(void)unused;
	CHECK(mq_setattr(full, &blocking, 0) == 0);
	CHECK(mq_send(full, "third", 5, 7) == 0);
	return 0;
}

static void get(mqd_t q, const char *want, unsigned with)
{
	char text[9000];
	unsigned priority;

	EQUAL(mq_receive(q, text, sizeof text, &priority), strlen(want));
	CHECK(memcmp(text, want, strlen(want)) == 0);
	EQUAL(priority, with);
}

int main(void)
{
	struct mq_attr a;
	pid_t pid;
	char text[9000];

	queues[0] = opened("removed", 10, 8192);
	CHECK(mq_unlink(name) == 0);
	full = opened("full", 2, 100);
	CHECK(mq_unlink(name) == 0);
	queues[1] = opened("messages", 10, 200);
	for (int i = 0; i < 2; i++)
		for (size_t j = 0; j < sizeof sent / sizeof sent[0]; j++)
			CHECK(mq_send(queues[i], sent[j].text, strlen(sent[j].text), sent[j].priority) == 0);
	CHECK(mq_send(full, "first", 5, 7) == 0);
	CHECK(mq_send(full, "second", 6, 7) == 0);
	pid = child(waits, 0);
	await_call(pid, SYS_mq_timedsend);
	ready();
	await_go();
	for (int i = 0; i < 2; i++) {
		CHECK(mq_getattr(queues[i], &a) == 0);
		EQUAL(a.mq_curmsgs, 6);
		for (int j = 0; j < 6; j++)
			get(queues[i], sent[order[j]].text, sent[order[j]].priority);
		CHECK(mq_receive(queues[i], text, sizeof text, 0) == -1 && errno == EAGAIN);
	}
	get(full, "first", 7);
	reap(pid, 0);
	get(full, "second", 7);
	get(full, "third", 7);
	CHECK(mq_unlink(name) == 0);
	pass();
}

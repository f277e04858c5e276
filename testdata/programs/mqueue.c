/*
 * POSIX message queues that are empty: one with a name, one that was removed, and one that a child waits for. Parent and child share
 * descriptions, and the queues work afterwards, with their limits and priorities.
 */
#include "group.h"

#include <mqueue.h>
#include <sys/stat.h>

static mqd_t named, removed, waited;
static char name[40];

static mqd_t opened(const char *what, int flags, long messages, long size)
{
	struct mq_attr a = {.mq_maxmsg = messages, .mq_msgsize = size};
	mqd_t q;

	snprintf(name, sizeof name, "/crak-%s-%d", what, getpid());
	q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | flags, 0640, &a);
	CHECK(q >= 0);
	return q;
}

static int waiter(long unused)
{
	char text[64];
	unsigned priority;

	(void)unused;
	EQUAL(mq_receive(waited, text, sizeof text, &priority), 5);
	CHECK(memcmp(text, "first", 5) == 0);
	EQUAL(priority, 9);
	EQUAL(mq_receive(removed, text, sizeof text, &priority), 4);
	return priority;
}

static void has(mqd_t q, int flags, long messages, long size, unsigned links)
{
	struct mq_attr a;
	struct stat st;

	CHECK(mq_getattr(q, &a) == 0);
	EQUAL(a.mq_flags, flags);
	EQUAL(a.mq_maxmsg, messages);
	EQUAL(a.mq_msgsize, size);
	EQUAL(a.mq_curmsgs, 0);
	CHECK(fstat(q, &st) == 0);
	EQUAL(st.st_mode & 07777, 0640);
	EQUAL(st.st_nlink, links);
}

int main(void)
{
	char text[100];
	pid_t pid;
	mqd_t again;

	umask(0);
	removed = opened("removed", 0, 3, 64);
	CHECK(mq_unlink(name) == 0);
	waited = opened("waited", 0, 2, 50);
	CHECK(mq_unlink(name) == 0);
	named = opened("named", O_NONBLOCK, 5, 100);
	pid = child(waiter, 0);
	await_call(pid, SYS_mq_timedreceive);
	ready();
	await_go();
	has(named, O_NONBLOCK, 5, 100, 1);
	has(removed, 0, 3, 64, 0);
	CHECK(mq_receive(named, text, sizeof text, 0) == -1 && errno == EAGAIN);
	again = mq_open(name, O_WRONLY);
	CHECK(again >= 0);
	CHECK(mq_send(again, "x", 1, 1) == 0);
	EQUAL(mq_receive(named, text, sizeof text, 0), 1);
	CHECK(mq_unlink(name) == 0);
	CHECK(mq_send(waited, "first", 5, 9) == 0);
	CHECK(mq_send(removed, "last", 4, 7) == 0);
	reap(pid, 7);
	pass();
}

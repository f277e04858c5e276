/*
 * POSIX message queues with messages of several priorities: one with a name, one that was removed, and one that is full. Messages come out
 * in the order of their priorities, and of their sending within one. A child waits for room in the full queue. A further queue
 * is open only in the queue of a Unix socket (SCM_RIGHTS).
 */
#include "group.h"

#include <mqueue.h>
#include <sys/socket.h>

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

static void pass_on(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec one = {"x", 1};
	struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	EQUAL(sendmsg(socket, &m, 0), 1);
	CHECK(close(fd) == 0);
}

static int passed_on(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
	struct iovec one = {&byte, 1};
	struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int fd;

	EQUAL(recvmsg(socket, &m, 0), 1);
	EQUAL(CMSG_FIRSTHDR(&m)->cmsg_type, SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

int main(void)
{
	int pair[2];
	mqd_t inside;
	struct mq_attr a;
	pid_t pid;
	char text[9000];

	queues[0] = opened("removed", 10, 8192);
	CHECK(mq_unlink(name) == 0);
	full = opened("full", 2, 100);
	CHECK(mq_unlink(name) == 0);
	inside = opened("inside", 2, 9);
	CHECK(mq_unlink(name) == 0);
	queues[1] = opened("messages", 10, 200);
	for (int i = 0; i < 2; i++)
		for (size_t j = 0; j < sizeof sent / sizeof sent[0]; j++)
			CHECK(mq_send(queues[i], sent[j].text, strlen(sent[j].text), sent[j].priority) == 0);
	CHECK(mq_send(full, "first", 5, 7) == 0);
	CHECK(mq_send(full, "second", 6, 7) == 0);
	CHECK(mq_send(inside, "within", 6, 3) == 0);
	CHECK(mq_send(inside, "before", 6, 4) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pass_on(pair[0], inside);
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
	inside = passed_on(pair[1]);
	get(inside, "before", 4);
	get(inside, "within", 3);
	CHECK(mq_unlink(name) == 0);
	pass();
}

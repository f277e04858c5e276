/*
 * recvmmsg has received one of two datagrams and waits for the other one. If a checkpoint makes it return the first one, the socket has
 * no error afterwards, and the second one can be received.
 */
#include "check.h"

#include <pthread.h>
#include <sys/socket.h>

static int pair[2];

static void *other(void *unused)
{
	char path[64], text[128], call[16];

	snprintf(path, sizeof path, "/proc/self/task/%d/syscall", getpid());
	snprintf(call, sizeof call, "%d ", SYS_recvmmsg);
	do {
		pause_ms(2);
		slurp(path, text, sizeof text);
	} while (strncmp(text, call, strlen(call)));
	ready();
	await_go();
	EQUAL(send(pair[1], "two", 3, 0), 3);
	return unused;
}

int main(void)
{
	char text[2][8];
	struct iovec part[2] = {{text[0], 8}, {text[1], 8}};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &part[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &part[1], .msg_iovlen = 1}}};
	int error, n;
	socklen_t length = sizeof error;
	pthread_t thread;

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	EQUAL(send(pair[1], "one", 3, 0), 3);
	CHECK(pthread_create(&thread, 0, other, 0) == 0);
	n = recvmmsg(pair[0], messages, 2, 0, 0);
	CHECK(n == 1 || n == 2);
	CHECK(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length) == 0);
	EQUAL(error, 0);
	if (n == 1)
		EQUAL(recv(pair[0], text[1], 8, 0), 3);
	CHECK(memcmp(text[0], "one", 3) == 0 && memcmp(text[1], "two", 3) == 0);
	pass();
}

/*
 * SO_PEERCRED of Unix sockets: of pairs that the parent, a child, or a child that has ended made; of both sides of a connection between
 * parent and child; of a listening socket.
 */
#include "group.h"

#include <sys/socket.h>
#include <sys/un.h>

static int listening, pair[2], early[2];
static const struct sockaddr_un name = {AF_UNIX, "door"};

static void peer(int fd, pid_t pid)
{
	struct ucred who;
	socklen_t length = sizeof who;

	CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0);
	EQUAL(who.pid, pid);
	EQUAL(who.uid, getuid());
	EQUAL(who.gid, getgid());
}

static int calls(long type)
{
	int own[2], fd = socket(AF_UNIX, type, 0);

	CHECK(fd >= 0 && socketpair(AF_UNIX, type, 0, own) == 0);
	CHECK(connect(fd, (const struct sockaddr *)&name, sizeof name) == 0);
	CHECK(write(fd, "hello", 5) == 5);
	mark("called");
	await_go();
	peer(fd, getppid());
	peer(own[0], getpid());
	peer(own[1], getpid());
	peer(pair[0], getppid());
	CHECK(write(fd, "again", 5) == 5);
	return 0;
}

/* Makes a pair, sends one end to its parent, and ends. */
static int gives(long socket)
{
	int ends[2];
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), ends, sizeof(int));
	CHECK(sendmsg(socket, &message, 0) == 1);
	return 0;
}

int main(void)
{
	char control[CMSG_SPACE(sizeof(int))], byte, text[16];
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int given, accepted;
	pid_t sender, caller;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, early) == 0);
	sender = child(gives, early[1]);
	CHECK(recvmsg(early[0], &message, 0) == 1);
	memcpy(&given, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof given);
	reap(sender, 0);
	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listening, (const struct sockaddr *)&name, sizeof name) == 0 && listen(listening, 5) == 0);
	caller = child(calls, SOCK_STREAM);
	accepted = accept(listening, 0, 0);
	CHECK(accepted >= 0);
	await_mark("called");
	ready();
	await_go();
	peer(pair[0], getpid());
	peer(pair[1], getpid());
	peer(early[0], getpid());
	peer(listening, getpid());
	peer(given, sender);
	peer(accepted, caller);
	EQUAL(recv(accepted, text, 10, MSG_WAITALL), 10);
	CHECK(!memcmp(text, "helloagain", 10));
	reap(caller, 0);
	pass();
}

/* Sends and receives descriptors (SCM_RIGHTS), for programs that check them in the queues of Unix sockets. */
#include "group.h"

#include <sys/socket.h>

#include <sys/un.h>
#include <termios.h>

enum { MOST = 253 }; /* descriptors in one message: SCM_MAX_FD */

static inline void give(int to, const char *text, const int *fds, int n)
{
	char control[CMSG_SPACE(MOST * sizeof(int))] = {0};
	struct iovec data = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (n) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	EQUAL(sendmsg(to, &message, 0), strlen(text));
}

/* move sends descriptors and closes them. */
static inline void move(int to, const char *text, const int *fds, int n)
{
	give(to, text, fds, n);
	for (int i = 0; i < n; i++)
		CHECK(close(fds[i]) == 0);
}

/* take reads at most size bytes, which must be text, with exactly n descriptors. */
static inline void take(int from, size_t size, const char *text, int *fds, int n)
{
	char control[CMSG_SPACE(MOST * sizeof(int))], bytes[100];
	struct iovec data = {bytes, size};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c;
	ssize_t length = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	EQUAL(length, strlen(text));
	CHECK(memcmp(bytes, text, length) == 0);
	CHECK(!(message.msg_flags & MSG_CTRUNC));
	c = CMSG_FIRSTHDR(&message);
	if (!n) {
		CHECK(!c);
		return;
	}
	CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
	EQUAL(c->cmsg_len, CMSG_LEN(n * sizeof(int)));
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
}

static inline void pair(int type, int ends[2]) { CHECK(socketpair(AF_UNIX, type, 0, ends) == 0); }

static inline void empty(int fd)
{
	char byte;

	CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static inline void reads(int fd, const char *text)
{
	char got[100];
	ssize_t n = read(fd, got, sizeof got);

	EQUAL(n, strlen(text));
	CHECK(memcmp(got, text, n) == 0);
	CHECK(close(fd) == 0);
}

/* A terminal writes a newline apart from what is before it, so the text may arrive at the master in two parts. */
static inline void reads_output(int master, const char *text)
{
	char got[64];
	size_t length = 0;

	while (length < strlen(text)) {
		int n = read(master, got + length, sizeof got - length);
		CHECK(n > 0);
		length += n;
	}
	CHECK(length == strlen(text) && !memcmp(got, text, length));
}

static inline int file(const char *name, int flags, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | flags, 0600);

	CHECK(fd >= 0);
	EQUAL(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

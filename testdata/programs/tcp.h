/* Functions for workloads with TCP sockets. */
#ifndef TCP_H
#define TCP_H

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

/* An address of IPv4 or IPv6. */
union address {
	struct sockaddr a;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline union address address(const char *ip, int port)
{
	union address a;

	memset(&a, 0, sizeof a);
	if (inet_pton(AF_INET, ip, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
	} else {
		CHECK(inet_pton(AF_INET6, ip, &a.v6.sin6_addr) == 1);
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(port);
	}
	return a;
}

static inline socklen_t length_of(const union address *a) { return a->a.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6; }

static inline int tcp(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	return fd;
}

static inline int get(int fd, int level, int number)
{
	int value = 0;
	socklen_t length = sizeof value;

	CHECK(getsockopt(fd, level, number, &value, &length) == 0);
	return value;
}

static inline void set(int fd, int level, int number, int value)
{
	if (setsockopt(fd, level, number, &value, sizeof value))
		fail("setsockopt %d %d", level, number);
}

static inline union address own(int fd)
{
	union address a;
	socklen_t length = sizeof a;

	memset(&a, 0, sizeof a);
	CHECK(getsockname(fd, &a.a, &length) == 0);
	EQUAL(length, length_of(&a));
	return a;
}

static inline union address peer(int fd)
{
	union address a;
	socklen_t length = sizeof a;

	memset(&a, 0, sizeof a);
	CHECK(getpeername(fd, &a.a, &length) == 0);
	return a;
}

static inline void same(union address a, union address b) { CHECK(memcmp(&a, &b, sizeof a) == 0); }

static inline int bind_to(int fd, union address a)
{
	CHECK(bind(fd, &a.a, length_of(&a)) == 0);
	return fd;
}

static inline int connect_to(int fd, union address a)
{
	CHECK(connect(fd, &a.a, length_of(&a)) == 0);
	return fd;
}

static inline int bound(const char *ip, int port)
{
	union address a = address(ip, port);

	return bind_to(tcp(a.a.sa_family), a);
}

/* listening listens with SO_REUSEADDR, as servers do. Without the option, a crash leaves a port in TIME_WAIT for a minute. */
static inline int listening(const char *ip, int backlog)
{
	union address a = address(ip, 0);
	int fd = tcp(a.a.sa_family);

	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK(listen(bind_to(fd, a), backlog) == 0);
	return fd;
}

static inline int connected(int listening)
{
	union address a = own(listening);

	return connect_to(tcp(a.a.sa_family), a);
}

static inline int accepted(int listening)
{
	int fd = accept(listening, 0, 0);

	CHECK(fd >= 0);
	return fd;
}

static inline void put(int fd, const char *text) { EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text)); }

static inline void take(int fd, const char *text)
{
	char got[200];
	ssize_t n = recv(fd, got, sizeof got, MSG_DONTWAIT);

	EQUAL(n, strlen(text));
	CHECK(memcmp(got, text, n) == 0);
}

static inline void empty(int fd)
{
	char byte;

	CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static inline void at_end(int fd)
{
	char byte;

	EQUAL(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

static inline int state(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;

	CHECK(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &length) == 0);
	return info.tcpi_state;
}

static inline int readiness(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

/* works checks that a listening socket accepts a connection that carries bytes. */
static inline void works(int listening)
{
	int client = connected(listening), server = accepted(listening);

	put(client, "question");
	struct pollfd p = {server, POLLIN, 0};
	EQUAL(poll(&p, 1, 5000), 1);
	take(server, "question");
	CHECK(close(client) == 0 && close(server) == 0);
}

#endif

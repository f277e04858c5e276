/* Functions for workloads with sockets of IPv4 and IPv6. */
#ifndef INET_H
#define INET_H

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t address(union address *a, const char *host, int port)
{
	memset(a, 0, sizeof *a);
	if (strchr(host, ':')) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		EQUAL(inet_pton(AF_INET6, host, &a->v6.sin6_addr), 1);
		return sizeof a->v6;
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons(port);
	EQUAL(inet_pton(AF_INET, host, &a->v4.sin_addr), 1);
	return sizeof a->v4;
}

static inline int family_of(const char *host) { return strchr(host, ':') ? AF_INET6 : AF_INET; }

static inline int port_in(const union address *a)
{
	return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

/* own_port is the port of a socket. */
static inline int own_port(int fd)
{
	union address a;
	socklen_t length = sizeof a;

	CHECK(getsockname(fd, &a.any, &length) == 0);
	return port_in(&a);
}

static inline void join(int fd, const char *host, int port)
{
	union address a;
	socklen_t length = address(&a, host, port);

	if (connect(fd, &a.any, length))
		fail("connect to %s %d", host, port);
}

static inline void bind_to(int fd, const char *host, int port)
{
	union address a;
	socklen_t length = address(&a, host, port);

	if (bind(fd, &a.any, length))
		fail("bind to %s %d", host, port);
}

static inline void is_address(const union address *a, const char *host, int port)
{
	union address want;
	char text[64] = "";

	address(&want, host, port);
	if (a->any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof text);
	else
		inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof text);
	if (strcmp(text, host) || port_in(a) != port)
		fail("address %s port %d, want %s port %d", text, port_in(a), host, port);
}

/* own_address and peer_address check getsockname(2) and getpeername(2). */
static inline void own_address(int fd, const char *host, int port)
{
	union address a;
	socklen_t length = sizeof a;

	CHECK(getsockname(fd, &a.any, &length) == 0);
	is_address(&a, host, port);
}

static inline void peer_address(int fd, const char *host, int port)
{
	union address a;
	socklen_t length = sizeof a;

	CHECK(getpeername(fd, &a.any, &length) == 0);
	is_address(&a, host, port);
}

static inline void no_peer(int fd)
{
	union address a;
	socklen_t length = sizeof a;

	CHECK(getpeername(fd, &a.any, &length) == -1 && errno == ENOTCONN);
}

static inline void set_option(int fd, int level, int number, int value)
{
	if (setsockopt(fd, level, number, &value, sizeof value))
		fail("option %d of level %d", number, level);
}

static inline int get_option(int fd, int level, int number)
{
	int value = 0;
	socklen_t length = sizeof value;

	if (getsockopt(fd, level, number, &value, &length))
		fail("option %d of level %d", number, level);
	return value;
}

static inline short events(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLRDHUP, 0};

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

#endif

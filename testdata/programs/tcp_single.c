/*
 * TCP sockets without a connection: listening ones of IPv4 and IPv6, some with options, a group with SO_REUSEPORT, bound ones, new
 * ones, and a connection refused.
 */
#include "tcp.h"

#include <net/if.h>

static const struct {
	int level, number, value;
} options[] = {
	{SOL_SOCKET, SO_REUSEADDR, 1}, {SOL_SOCKET, SO_KEEPALIVE, 1}, {SOL_SOCKET, SO_OOBINLINE, 1},
	{SOL_IP, IP_TOS, 0x10}, {SOL_SOCKET, SO_PRIORITY, 3}, {SOL_SOCKET, SO_RCVLOWAT, 7},
	{SOL_TCP, TCP_KEEPIDLE, 77}, {SOL_TCP, TCP_KEEPINTVL, 13}, {SOL_TCP, TCP_KEEPCNT, 4}, {SOL_TCP, TCP_DEFER_ACCEPT, 3},
	{SOL_TCP, TCP_USER_TIMEOUT, 12345}, {SOL_TCP, TCP_NODELAY, 1}, {SOL_TCP, TCP_CORK, 1}, {SOL_TCP, TCP_SYNCNT, 3},
	{SOL_TCP, TCP_LINGER2, 9}, {SOL_TCP, TCP_FASTOPEN, 5}, {SOL_TCP, TCP_NOTSENT_LOWAT, 4096}, {SOL_TCP, TCP_MAXSEG, 1000},
	{SOL_TCP, TCP_SAVE_SYN, 1}, {SOL_IP, IP_TTL, 33}, {SOL_IP, IP_FREEBIND, 1},
	{SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO}, {SOL_IP, IP_RECVTTL, 1},
	{SOL_IP, IP_RECVERR, 1}, {SOL_SOCKET, SO_TIMESTAMP, 1}, {SOL_TCP, TCP_WINDOW_CLAMP, 5000},
	{SOL_SOCKET, SO_INCOMING_CPU, 1}, {SOL_SOCKET, SO_TXREHASH, 0},
};

#define COUNT ((int)(sizeof options / sizeof options[0]))

/* Options of new sockets on which bind(2) depends. */
static const struct {
	int level, number;
} of_new[] = {{SOL_SOCKET, SO_REUSEADDR}, {SOL_IP, IP_FREEBIND}, {SOL_IP, IP_BIND_ADDRESS_NO_PORT}, {SOL_IPV6, IPV6_V6ONLY}};

/* With CAP_NET_ADMIN. */
static int privileged(int fd)
{
	int mark = 17, on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0 && setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on) == 0;
}

static void refused(int fd, int listening)
{
	union address a = own(listening);

	CHECK(connect(fd, &a.a, length_of(&a)) == -1);
	EQUAL(errno, ECONNREFUSED);
}

int main(void)
{
	struct linger linger = {1, 7};
	struct timeval t = {3, 500000};
	socklen_t length;
	char name[IFNAMSIZ] = "";
	int v4, v6, both, only6, with, single, single6, new, new6, device, root, failing;
	int reuse[3], values[COUNT], sizes[2];

	/* A server that has no options, and one that has many. */
	CHECK(listen(v4 = bound("127.0.0.1", 0), 5) == 0);
	CHECK(listen(v6 = bound("::1", 0), 128) == 0);
	CHECK(listen(both = bound("::", 0), 5) == 0);
	only6 = tcp(AF_INET6);
	set(only6, SOL_IPV6, IPV6_V6ONLY, 1);
	CHECK(listen(bind_to(only6, address("::", 0)), 5) == 0);
	with = tcp(AF_INET);
	for (int i = 0; i < COUNT; i++)
		set(with, options[i].level, options[i].number, options[i].value);
	set(with, SOL_SOCKET, SO_SNDBUF, 30000);
	set(with, SOL_SOCKET, SO_RCVBUF, 40000);
	CHECK(setsockopt(with, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
	CHECK(setsockopt(with, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
	CHECK(setsockopt(with, SOL_TCP, TCP_CONGESTION, "reno", 4) == 0);
	root = privileged(with);
	CHECK(listen(bind_to(with, address("127.0.0.1", 0)), 5) == 0);
	for (int i = 0; i < COUNT; i++)
		values[i] = get(with, options[i].level, options[i].number);
	sizes[0] = get(with, SOL_SOCKET, SO_SNDBUF);
	sizes[1] = get(with, SOL_SOCKET, SO_RCVBUF);

	/* Sockets that share a port. */
	for (int i = 0; i < 3; i++) {
		reuse[i] = tcp(AF_INET);
		set(reuse[i], SOL_SOCKET, SO_REUSEPORT, 1);
		union address a = i ? own(reuse[0]) : address("127.0.0.1", 0);
		bind_to(reuse[i], a);
	}
	for (int i = 2; i >= 0; i--)
		CHECK(listen(reuse[i], 5 + i) == 0);

	/* Others. */
	single = bound("127.0.0.1", 0);
	single6 = bound("::", 0);
	new = tcp(AF_INET);
	new6 = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	set(new6, SOL_TCP, TCP_NODELAY, 1);
	for (int i = 0; i < 4; i++)
		set(i < 3 ? new : new6, of_new[i].level, of_new[i].number, 1);
	CHECK(setsockopt(new, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == 0);
	device = tcp(AF_INET);
	CHECK(setsockopt(device, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0);
	CHECK(listen(bind_to(device, address("127.0.0.1", 0)), 1) == 0);
	failing = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	union address nobody = own(single);
	CHECK(connect(failing, &nobody.a, sizeof nobody.v4) == -1 && errno == EINPROGRESS);

	int all[] = {v4, v6, both, only6, with, reuse[0], reuse[1], reuse[2], single, single6, device};
	const int count = sizeof all / sizeof all[0];
	union address before[sizeof all / sizeof all[0]];
	for (int i = 0; i < count; i++)
		before[i] = own(all[i]);
	ready();
	await_go();

	for (int i = 0; i < count; i++) {
		same(own(all[i]), before[i]);
		EQUAL(get(all[i], SOL_SOCKET, SO_ACCEPTCONN), all[i] != single && all[i] != single6);
		EQUAL(get(all[i], SOL_SOCKET, SO_REUSEADDR), all[i] == with);
		EQUAL(get(all[i], SOL_SOCKET, SO_REUSEPORT), all[i] == reuse[0] || all[i] == reuse[1] || all[i] == reuse[2]);
	}
	EQUAL(get(both, SOL_IPV6, IPV6_V6ONLY), 0);
	EQUAL(get(only6, SOL_IPV6, IPV6_V6ONLY), 1);
	for (int i = 0; i < COUNT; i++) {
		if (get(with, options[i].level, options[i].number) != values[i])
			fail("option %d %d: %d, want %d", options[i].level, options[i].number, get(with, options[i].level, options[i].number), values[i]);
	}
	EQUAL(get(with, SOL_SOCKET, SO_SNDBUF), sizes[0]);
	EQUAL(get(with, SOL_SOCKET, SO_RCVBUF), sizes[1]);
	EQUAL(get(with, SOL_SOCKET, 72), 3);
	EQUAL(get(v4, SOL_SOCKET, 72), 0);
	if (root)
		EQUAL(get(with, SOL_SOCKET, SO_MARK) + 100 * get(with, SOL_IP, IP_TRANSPARENT), 117);
	length = sizeof linger;
	CHECK(getsockopt(with, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff == 1 && linger.l_linger == 7);
	length = sizeof t;
	CHECK(getsockopt(with, SOL_SOCKET, SO_RCVTIMEO, &t, &length) == 0 && t.tv_sec == 3 && t.tv_usec == 500000);
	length = sizeof name;
	CHECK(getsockopt(with, SOL_TCP, TCP_CONGESTION, name, &length) == 0 && strcmp(name, "reno") == 0);
	length = sizeof name;
	CHECK(getsockopt(device, SOL_SOCKET, SO_BINDTODEVICE, name, &length) == 0 && strcmp(name, "lo") == 0);

	for (int i = 0; i < 3; i++) {
		struct tcp_info info;

		length = sizeof info;
		CHECK(getsockopt(reuse[i], SOL_TCP, TCP_INFO, &info, &length) == 0);
		EQUAL(info.tcpi_sacked, 5 + i);
	}
	works(v4);
	works(v6);
	works(device);
	EQUAL(readiness(failing), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
	EQUAL(get(failing, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	refused(tcp(AF_INET), single);
	CHECK(listen(single, 3) == 0);
	works(single);
	EQUAL(get(new6, SOL_TCP, TCP_NODELAY), 1);
	for (int i = 0; i < 4; i++)
		EQUAL(get(i < 3 ? new : new6, of_new[i].level, of_new[i].number), 1);
	length = sizeof name;
	CHECK(getsockopt(new, SOL_SOCKET, SO_BINDTODEVICE, name, &length) == 0);
	CHECK(strcmp(name, "lo") == 0);
	EQUAL(fcntl(new6, F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(fcntl(new, F_GETFL), O_RDWR);
	EQUAL(own(new).v4.sin_port, 0);
	connect_to(new, before[0]);
	CHECK(close(accepted(v4)) == 0);
	pass();
}

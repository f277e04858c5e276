/*
 * Connections of IPv4, IPv6 and IPv4-mapped addresses, whose two ends one process has: with content both ways, so much that the
 * queues are full, kept back by TCP_CORK, half-closed, shut down, closed, reset, refused, and not accepted yet.
 */
#include "tcp.h"

struct pair {
	int client, server;
	union address own[2];
};

static struct pair accept_from(int listening, int client)
{
	struct pair p = {client, accepted(listening), {own(client), peer(client)}};

	return p;
}

static struct pair join(int listening) { return accept_from(listening, connected(listening)); }

static void check(const struct pair *p)
{
	same(own(p->client), p->own[0]);
	same(peer(p->client), p->own[1]);
	if (own(p->server).a.sa_family == p->own[0].a.sa_family) {
		same(own(p->server), p->own[1]);
		same(peer(p->server), p->own[0]);
	} else {
		union address client = peer(p->server);

		EQUAL(client.v6.sin6_port, p->own[0].v4.sin_port);
		CHECK(IN6_IS_ADDR_V4MAPPED(&client.v6.sin6_addr));
	}
}

#define talk(p) talk_at(p, __LINE__)

static void talk_at(const struct pair *p, int line)
{
	struct pollfd in[] = {{p->client, POLLIN, 0}, {p->server, POLLIN, 0}};

	put(p->client, "to the server");
	put(p->server, "to the client");
	for (int i = 0; i < 2; i++) {
		if (poll(&in[i], 1, 5000) != 1)
			fail("line %d: nothing arrives at the %s", line, i ? "server" : "client");
	}
	take(p->server, "to the server");
	take(p->client, "to the client");
}

/* A stream that is full. */
static size_t stuff(int fd)
{
	size_t all = 0;
	struct pollfd out = {fd, POLLOUT, 0};

	while (poll(&out, 1, 300) == 1) {
		for (;;) {
			char bytes[1000];

			for (size_t i = 0; i < sizeof bytes; i++)
				bytes[i] = (char)((all + i) * 7 + (all + i) / 251);
			ssize_t n = send(fd, bytes, sizeof bytes, MSG_DONTWAIT);
			if (n < 0)
				break;
			all += n;
		}
	}
	return all;
}

static void drain_all(int fd, size_t all)
{
	static char bytes[100000];
	struct pollfd in = {fd, POLLIN, 0};

	for (size_t at = 0; at < all;) {
		EQUAL(poll(&in, 1, 10000), 1);
		ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			EQUAL(bytes[i], (char)((at + i) * 7 + (at + i) / 251));
		at += n;
	}
}

static void drain(int fd, size_t all)
{
	drain_all(fd, all);
	empty(fd);
}

static void await_state_of(int fd, int wanted)
{
	for (int i = 0; i < 5000 && state(fd) != wanted; i++)
		pause_ms(1);
	EQUAL(state(fd), wanted);
}

static void linger_zero(int fd)
{
	struct linger l = {1, 0};

	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
}

int main(void)
{
	int l4 = listening("127.0.0.1", 50), l6 = listening("::1", 50), any = tcp(AF_INET6), gone, other;
	size_t sent[4];
	struct pair idle[4], half, half_answered, corked, small, full, over, closed, closed_later, reset, reset_seen, options, shared[2];
	int waiting[2], epoll = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP}, got[4];

	set(any, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK(listen(bind_to(any, address("::", 0)), 50) == 0);
	idle[0] = join(l4);
	idle[1] = join(l6);
	idle[2] = accept_from(any, connect_to(tcp(AF_INET), address("127.0.0.1", ntohs(own(any).v6.sin6_port))));
	gone = listening("127.0.0.2", 5); /* a server that stops listening before the checkpoint */
	idle[3] = join(gone);
	CHECK(close(gone) == 0);
	put(idle[1].client, "hello ");
	put(idle[1].client, "world");
	put(idle[1].server, "back");

	/* Two clients that have the same port. */
	other = bound("127.0.0.1", 0);
	for (int i = 0; i < 2; i++) {
		int client = tcp(AF_INET);

		set(client, SOL_SOCKET, SO_REUSEADDR, 1);
		set(other, SOL_SOCKET, SO_REUSEADDR, 1);
		bind_to(client, own(other));
		shared[i] = accept_from(i ? any : l4, i ? connect_to(client, address("127.0.0.1", ntohs(own(any).v6.sin6_port))) : connect_to(client, own(l4)));
	}
	CHECK(close(other) == 0);

	half = join(l4);
	put(half.client, "last words");
	CHECK(shutdown(half.client, SHUT_WR) == 0);
	half_answered = join(l6);
	CHECK(shutdown(half_answered.server, SHUT_WR) == 0);
	at_end(half_answered.client);
	put(half_answered.client, "one way");

	corked = join(l4);
	put(corked.client, "before, ");
	set(corked.client, SOL_TCP, TCP_CORK, 1);
	put(corked.client, "corked");

	small = join(l4);
	set(small.server, SOL_SOCKET, SO_RCVBUF, 5000);
	set(small.client, SOL_SOCKET, SO_SNDBUF, 50000);
	sent[0] = stuff(small.client);
	full = join(l6);
	sent[1] = stuff(full.client);
	sent[2] = stuff(full.server);

	over = join(l4);
	put(over.client, "both are done");
	CHECK(shutdown(over.client, SHUT_WR) == 0 && shutdown(over.server, SHUT_WR) == 0);
	await_state_of(over.server, TCP_CLOSE);
	closed = join(l4);
	put(closed.client, "testament");
	CHECK(close(closed.client) == 0);
	closed_later = join(l6);
	sent[3] = stuff(closed_later.server);
	CHECK(close(closed_later.server) == 0);
	reset = join(l4);
	put(reset.server, "still here");
	linger_zero(reset.server);
	pause_ms(1);
	CHECK(close(reset.server) == 0);
	await_state_of(reset.client, TCP_CLOSE);
	reset_seen = join(l4);
	linger_zero(reset_seen.client);
	CHECK(close(reset_seen.client) == 0);
	await_state_of(reset_seen.server, TCP_CLOSE);
	EQUAL(get(reset_seen.server, SOL_SOCKET, SO_ERROR), ECONNRESET);

	options = join(l4);
	set(options.client, SOL_SOCKET, SO_RCVBUF, 20000);
	set(options.client, SOL_TCP, TCP_NODELAY, 1);
	set(options.client, SOL_TCP, TCP_USER_TIMEOUT, 4321);
	set(options.server, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(options.server, SOL_TCP, TCP_KEEPIDLE, 55);
	CHECK(fcntl(options.server, F_SETFL, O_NONBLOCK) == 0);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, half.server, &e) == 0);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, options.client, &e) == 0);

	waiting[0] = connected(l6);
	waiting[1] = connected(l6);
	union address second = own(waiting[1]);
	ready();
	await_go();

	for (int i = 0; i < 4; i++) {
		check(&idle[i]);
		if (i == 1) {
			take(idle[1].server, "hello world");
			take(idle[1].client, "back");
		}
		talk(&idle[i]);
	}
	for (int i = 0; i < 2; i++) {
		check(&shared[i]);
		talk(&shared[i]);
	}
	EQUAL(epoll_wait(epoll, got, 4, 0), 1);
	EQUAL(got[0].events, EPOLLIN | EPOLLRDHUP);
	check(&half);
	await_state_of(half.client, TCP_FIN_WAIT2);
	EQUAL(state(half.server), TCP_CLOSE_WAIT);
	take(half.server, "last words");
	at_end(half.server);
	put(half.server, "answer");
	take(half.client, "answer");
	check(&half_answered);
	at_end(half_answered.client);
	take(half_answered.server, "one way");
	empty(half_answered.server);

	check(&corked);
	take(corked.server, "before, corked");
	EQUAL(get(corked.client, SOL_TCP, TCP_CORK), 1);
	EQUAL(get(small.server, SOL_SOCKET, SO_RCVBUF), 10000);
	EQUAL(get(small.server, SOL_SOCKET, 72), 2);
	EQUAL(get(small.server, SOL_SOCKET, SO_RCVLOWAT), 1);
	EQUAL(get(small.client, SOL_SOCKET, SO_SNDBUF), 100000);
	drain(small.server, sent[0]);
	talk(&small);
	drain(full.server, sent[1]);
	drain(full.client, sent[2]);
	EQUAL(get(full.server, SOL_SOCKET, 72), 0);
	EQUAL(get(full.server, SOL_TCP, TCP_NODELAY), 0);
	talk(&full);

	take(over.server, "both are done");
	at_end(over.server);
	at_end(over.client);
	same(own(over.server), over.own[1]);
	CHECK(send(over.server, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	EQUAL(readiness(over.client), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
	take(closed.server, "testament");
	at_end(closed.server);
	same(own(closed.server), closed.own[1]);
	same(peer(closed.server), closed.own[0]);
	drain_all(closed_later.client, sent[3]);
	await_state_of(closed_later.client, TCP_CLOSE_WAIT);
	at_end(closed_later.client);

	EQUAL(readiness(reset.client), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
	take(reset.client, "still here");
	CHECK(send(reset.client, "x", 1, MSG_NOSIGNAL) == -1 && errno == ECONNRESET);
	EQUAL(readiness(reset_seen.server), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
	at_end(reset_seen.server);

	check(&options);
	EQUAL(get(options.client, SOL_SOCKET, SO_RCVBUF), 40000);
	EQUAL(get(options.client, SOL_TCP, TCP_NODELAY), 1);
	EQUAL(get(options.client, SOL_TCP, TCP_USER_TIMEOUT), 4321);
	EQUAL(get(options.client, SOL_SOCKET, SO_REUSEADDR), 0);
	EQUAL(get(options.server, SOL_SOCKET, SO_KEEPALIVE), 1);
	EQUAL(get(options.server, SOL_SOCKET, SO_REUSEADDR), 1);
	EQUAL(get(options.server, SOL_TCP, TCP_KEEPIDLE), 55);
	EQUAL(fcntl(options.server, F_GETFL), O_RDWR | O_NONBLOCK);
	talk(&options);

	CHECK(close(accepted(l6)) == 0);
	struct pair p = {waiting[1], accepted(l6), {second, own(l6)}};
	check(&p);
	talk(&p);
	works(l4);
	works(l6);
	pass();
}

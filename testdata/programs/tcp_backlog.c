/*
 * Connections that nobody has accepted yet, with data: of IPv4, IPv6 and IPv4-mapped addresses, with clients of the same process and of a
 * child, one of which has ended its sending direction, one of which has sent nothing, and one of which is bound to its port. The order in
 * which they are accepted is that in which they were made. With an argument the program says all the time that it runs (storm.c).
 */
#include "group.h"
#include "tcp.h"

enum { CLIENTS = 6, LARGE = 40000 };

struct door {
	int listening, clients[CLIENTS];
	union address own[CLIENTS];
};

static char large[LARGE];

static void knock(struct door *d, int family, union address at)
{
	for (int i = 0; i < CLIENTS; i++) {
		int fd = tcp(family);

		if (i == 3)
			bind_to(fd, family == AF_INET ? address("127.0.0.1", 0) : address("::1", 0));
		d->clients[i] = connect_to(fd, at);
		d->own[i] = own(fd);
	}
	put(d->clients[5], "the sixth");
	put(d->clients[0], "the ");
	put(d->clients[0], "first");
	put(d->clients[1], "the second and last");
	CHECK(shutdown(d->clients[1], SHUT_WR) == 0);
	EQUAL(send(d->clients[3], large, LARGE, 0), LARGE);
	CHECK(fcntl(d->clients[4], F_SETFL, O_NONBLOCK) == 0);
	put(d->clients[4], "the fifth");
}

static void same_port(union address a, union address b) { EQUAL(a.v4.sin_port, b.v4.sin_port); }

static int take_all(int fd, char *got, size_t most)
{
	size_t all = 0;
	struct pollfd p = {fd, POLLIN, 0};

	while (all < most && poll(&p, 1, 1000) == 1) {
		ssize_t n = recv(fd, got + all, most - all, MSG_DONTWAIT);

		CHECK(n > 0);
		all += n;
	}
	return all;
}

static void answer(struct door *d)
{
	static char got[LARGE];
	const char *texts[] = {"the first", "the second and last", 0, 0, "the fifth", "the sixth"};

	for (int i = 0; i < CLIENTS; i++) {
		int fd = accepted(d->listening);

		same_port(peer(fd), d->own[i]);
		if (i == 3) {
			EQUAL(take_all(fd, got, LARGE), LARGE);
			CHECK(memcmp(got, large, LARGE) == 0);
		} else if (texts[i]) {
			struct pollfd p = {fd, POLLIN, 0};

			EQUAL(poll(&p, 1, 1000), 1);
			take(fd, texts[i]);
		}
		if (i == 1)
			at_end(fd);
		else
			empty(fd);
		put(fd, "answer");
		if (i != 1)
			put(d->clients[i], "more");
		CHECK(i == 1 || take_all(fd, got, 4) == 4);
		same(own(d->clients[i]), d->own[i]);
		take(d->clients[i], "answer");
		EQUAL(get(d->clients[i], SOL_SOCKET, SO_ERROR), 0);
		CHECK(close(fd) == 0);
	}
	EQUAL(fcntl(d->clients[4], F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(fcntl(d->clients[0], F_GETFL), O_RDWR);
	EQUAL(fcntl(d->listening, F_GETFL), O_RDWR);
	works(d->listening);
}

static int door_of_parent, talks[2];

static int visitor(long unused)
{
	int fd = connected(door_of_parent);
	char got[6];

	(void)unused;
	put(fd, "from the child");
	EQUAL(write(talks[1], "x", 1), 1);
	EQUAL(recv(fd, got, 6, MSG_WAITALL), 6);
	CHECK(memcmp(got, "answer", 6) == 0);
	return 7;
}

int main(int argc, char **argv)
{
	struct door four, six, mapped;
	struct epoll_event e = {.events = EPOLLIN}, got[4];
	int any = tcp(AF_INET6), epoll = epoll_create1(0), fd;
	char byte;
	pid_t pid;

	for (int i = 0; i < LARGE; i++)
		large[i] = i * 7 + i / 251;
	four.listening = listening("127.0.0.1", CLIENTS);
	knock(&four, AF_INET, own(four.listening));
	six.listening = listening("::1", CLIENTS);
	knock(&six, AF_INET6, own(six.listening));
	set(any, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK(listen(bind_to(any, address("::", 0)), 20) == 0);
	mapped.listening = any;
	knock(&mapped, AF_INET, address("127.0.0.1", ntohs(own(any).v6.sin6_port)));
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, four.listening, &e) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, four.clients[0], &e) == 0);

	door_of_parent = listening("127.0.0.1", 5);
	(void)argv;
	CHECK(pipe(talks) == 0);
	pid = child(visitor, 0);
	EQUAL(read(talks[0], &byte, 1), 1);
	ready();
	for (int n = 0; argc > 1 && access("go", F_OK); n++) { /* see storm.c */
		char text[32];

		snprintf(text, sizeof text, "%d", n);
		unlink("beat.new");
		CHECK(symlink(text, "beat.new") == 0 && rename("beat.new", "beat") == 0);
		pause_ms(2);
	}
	await_go();

	EQUAL(epoll_wait(epoll, got, 4, 0), 1);
	answer(&four);
	answer(&six);
	answer(&mapped);
	fd = accepted(door_of_parent);
	take(fd, "from the child");
	put(fd, "answer");
	reap(pid, 7);
	pass();
}

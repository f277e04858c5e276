/*
 * tcp_choice server [PORT]: greets each connection with its number, as "hello 1", and sends back what it gets. It makes a file with its
 * port. It ends when there is a file go.
 * tcp_choice client FILE reset|reconnect|kept [HOST]: a client of the server whose port is in the file. After the go it checks that its
 * connection was reset, or is a new one to the same server, or is still the old one. It has not read all of its greeting before.
 */
#include "tcp.h"

#include <signal.h>
#include <sys/stat.h>

static void serve(int port)
{
	struct pollfd all[20];
	int count = 1, greeted = 0, file, l = tcp(AF_INET);
	char text[32];

	set(l, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK(listen(bind_to(l, address("127.0.0.1", port)), 5) == 0);
	all[0] = (struct pollfd){l, POLLIN, 0};
	snprintf(text, sizeof text, "%d", ntohs(own(l).v4.sin_port));
	file = open("port", O_WRONLY | O_CREAT, 0644);
	CHECK(write(file, text, strlen(text)) > 0 && close(file) == 0);
	ready();
	while (access("go", F_OK)) {
		CHECK(poll(all, count, 20) >= 0);
		for (int i = 1; i < count; i++) {
			ssize_t n = all[i].revents ? recv(all[i].fd, text, sizeof text, MSG_DONTWAIT) : -2;

			if (n > 0)
				EQUAL(send(all[i].fd, text, n, MSG_NOSIGNAL), n);
			if (n == 0 || n == -1) {
				close(all[i].fd);
				all[i--] = all[--count];
			}
		}
		if (all[0].revents && count < 20) {
			all[count] = (struct pollfd){accepted(l), POLLIN, 0};
			snprintf(text, sizeof text, "hello %d", ++greeted);
			put(all[count++].fd, text);
		}
	}
	pass();
}

static int port_in_file(const char *path)
{
	char text[16] = "";
	int file = open(path, O_RDONLY);

	CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0 && close(file) == 0);
	return atoi(text);
}

static unsigned await(int epoll, int fd)
{
	struct epoll_event e;

	EQUAL(epoll_wait(epoll, &e, 1, 5000), 1);
	EQUAL(e.data.u64, fd);
	return e.events;
}

static void has_options(int fd)
{
	struct linger linger;
	socklen_t length = sizeof linger;

	EQUAL(get(fd, SOL_TCP, TCP_NODELAY), 1);
	EQUAL(get(fd, SOL_TCP, TCP_KEEPIDLE), 77);
	EQUAL(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	EQUAL(get(fd, SOL_IP, IP_TOS), 16);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0);
	CHECK(linger.l_onoff == 1 && linger.l_linger == 7);
	EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

int main(int argc, char **argv)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
	struct linger linger = {1, 7};
	union address server;
	int fd, shared, epoll = epoll_create1(EPOLL_CLOEXEC);
	const char *want;
	char text[32];

	signal(SIGPIPE, SIG_IGN);
	CHECK(argc > 1);
	if (strcmp(argv[1], "server") == 0)
		serve(argc > 2 ? port_in_file(argv[2]) : 0);
	CHECK(argc > 3);
	want = argv[3];
	server = address(argc > 4 ? argv[4] : "127.0.0.1", port_in_file(argv[2]));
	fd = connect_to(tcp(server.a.sa_family), server);
	set(fd, SOL_TCP, TCP_NODELAY, 1);
	set(fd, SOL_TCP, TCP_KEEPIDLE, 77);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, SOL_IP, IP_TOS, 16);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
	CHECK((shared = dup(fd)) > 0);
	e.data.u64 = fd;
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0);
	await(epoll, fd);
	EQUAL(recv(fd, text, 5, 0), 5);
	CHECK(memcmp(text, "hello", 5) == 0);
	ready();
	await_go();
	has_options(fd);
	if (strcmp(want, "reset") == 0) {
		struct stat st, other;

		EQUAL(await(epoll, fd) & (EPOLLHUP | EPOLLRDHUP | EPOLLERR), EPOLLHUP | EPOLLRDHUP | EPOLLERR);
		CHECK(recv(fd, text, sizeof text, 0) == 2 && text[0] == ' '); /* what had arrived before */
		CHECK(recv(shared, text, sizeof text, 0) == -1 && errno == ECONNRESET);
		EQUAL(recv(fd, text, sizeof text, 0), 0);
		CHECK(send(fd, text, 1, 0) == -1 && errno == EPIPE);
		CHECK(fstat(fd, &st) == 0 && fstat(shared, &other) == 0 && st.st_ino == other.st_ino);
		pass();
	}
	if (strcmp(want, "refused") == 0) {
		EQUAL(await(epoll, fd) & (EPOLLHUP | EPOLLERR), EPOLLHUP | EPOLLERR);
		CHECK(recv(fd, text, sizeof text, 0) == -1 && errno == ECONNRESET);
		pass();
	}
	same(peer(fd), server);
	EQUAL(await(epoll, fd), EPOLLIN);
	if (strcmp(want, "reconnect") == 0) {
		ssize_t n = recv(shared, text, sizeof text, 0);

		CHECK(n >= 7 && memcmp(text, "hello ", 6) == 0);
	} else
		take(fd, " 1");
	put(fd, "echo");
	while (!(await(epoll, fd) & EPOLLIN))
		;
	take(fd, "echo");
	pass();
}

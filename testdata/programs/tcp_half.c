/*
 * tcp_half server HOST -: accepts connections, and ends one direction of some. It makes a file with its port. It goes on when the
 * client has checked its connections, and checks that each has all bytes and ends as it should.
 * tcp_half client HOST FILE: the client, with a connection in each state of which one direction, or both, has ended.
 */
#include "inet.h"

#include <netinet/tcp.h>
#include <sys/ioctl.h>

/* The states of the client's connections. */
static const int states[] = {TCP_CLOSE_WAIT, TCP_FIN_WAIT2, TCP_FIN_WAIT1, TCP_LAST_ACK, TCP_CLOSING, TCP_ESTABLISHED};

#define COUNT 6

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;

	CHECK(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &length) == 0);
	return info.tcpi_state;
}

static void await_state(int fd, int state)
{
	for (int i = 0; state_of(fd) != state; i++) {
		if (i > 2000)
			fail("state %d, want %d", state_of(fd), state);
		pause_ms(1); /* no event tells of the states of TCP */
	}
}

/* expect receives a text, and waits for all of it. */
static void expect(int fd, const char *text)
{
	char got[100];
	size_t length = strlen(text);

	EQUAL(recv(fd, got, length, MSG_WAITALL), length);
	CHECK(memcmp(got, text, length) == 0);
}

static void put(int fd, const char *text) { EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text)); }

/* at_end waits for the end of the stream. */
static void at_end(int fd)
{
	char byte;

	EQUAL(recv(fd, &byte, 1, 0), 0);
}

/* overfill sends until the peer, which does not read, has room for no more bytes. It returns their number. */
static int overfill(int fd)
{
	int sent = 0, still = 0;

	while (still < 100) {
		char text[1000];
		ssize_t n;

		for (int i = 0; i < (int)sizeof text; i++)
			text[i] = (sent + i) % 251;
		n = send(fd, text, sizeof text, MSG_DONTWAIT | MSG_NOSIGNAL);
		CHECK(n > 0 || errno == EAGAIN);
		sent += n > 0 ? n : 0;
		still = n > 0 ? 0 : still + 1;
		if (n < 0)
			pause_ms(1); /* the kernel moves bytes to the peer's queue meanwhile */
	}
	return sent;
}

static int drain(int fd)
{
	int received = 0;

	for (;;) {
		unsigned char text[1000];
		ssize_t n = recv(fd, text, sizeof text, 0);

		CHECK(n >= 0);
		if (n == 0)
			return received;
		for (int i = 0; i < n; i++)
			EQUAL(text[i], (received + i) % 251);
		received += n;
	}
}

/* set_timeout bounds each call of send(2) and recv(2). */
static void set_timeout(int fd)
{
	struct timeval t = {20, 0};

	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) == 0);
}

static int number_in(const char *path)
{
	char text[16] = "";
	int file;

	await_file(path);
	file = open(path, O_RDONLY);
	CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0 && close(file) == 0);
	return atoi(text);
}

static void write_number(const char *path, int number)
{
	int file = open("new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	char text[16];

	snprintf(text, sizeof text, "%d", number);
	CHECK(file >= 0 && write(file, text, strlen(text)) > 0 && close(file) == 0 && rename("new", path) == 0);
}

static int accept_all(const char *host, int *fd)
{
	int l = socket(family_of(host), SOCK_STREAM, 0);

	set_option(l, SOL_SOCKET, SO_RCVBUF, 4096);
	bind_to(l, host, 0);
	CHECK(listen(l, COUNT) == 0);
	write_number("port", own_port(l));
	for (int i = 0; i < COUNT; i++) {
		CHECK((fd[i] = accept(l, 0, 0)) >= 0);
		set_timeout(fd[i]);
	}
	return l;
}

static void server(const char *host)
{
	int fd[COUNT], sent = 0;

	accept_all(host, fd);
	for (int i = 0; i < COUNT; i++)
		expect(fd[i], "begin");
	put(fd[0], "last words");
	CHECK(shutdown(fd[0], SHUT_WR) == 0);
	expect(fd[1], "question");
	at_end(fd[1]);
	CHECK(shutdown(fd[3], SHUT_WR) == 0);
	await_file("../client/closing"); /* its send queue is full */
	put(fd[4], "crossed");
	CHECK(shutdown(fd[4], SHUT_WR) == 0);
	ready();
	await_file("../client/checked");
	expect(fd[0], "more");
	at_end(fd[0]);
	await_state(fd[0], TCP_CLOSE);
	put(fd[1], "answer");
	close(fd[1]);
	for (int i = 2; i < 5; i++)
		sent += drain(fd[i]);
	EQUAL(sent, number_in("../client/sent"));
	put(fd[2], "answer");
	expect(fd[5], "still");
	at_end(fd[5]);
	pass();
}

static void client(const char *host, int port)
{
	int fd[COUNT], sent = 0;

	for (int i = 0; i < COUNT; i++) {
		fd[i] = socket(family_of(host), SOCK_STREAM, 0);
		join(fd[i], host, port);
		set_timeout(fd[i]);
		put(fd[i], "begin");
	}
	put(fd[1], "question");
	CHECK(shutdown(fd[1], SHUT_WR) == 0);
	sent += overfill(fd[2]);
	CHECK(shutdown(fd[2], SHUT_WR) == 0);
	await_state(fd[3], TCP_CLOSE_WAIT);
	sent += overfill(fd[3]);
	CHECK(shutdown(fd[3], SHUT_WR) == 0);
	sent += overfill(fd[4]);
	CHECK(shutdown(fd[4], SHUT_WR) == 0);
	write_number("sent", sent);
	write_number("closing", 1);
	CHECK(shutdown(fd[5], SHUT_RD) == 0);
	for (int i = 0; i < COUNT; i++)
		await_state(fd[i], states[i]);
	ready();
	await_go();
	for (int i = 0; i < COUNT; i++) {
		EQUAL(state_of(fd[i]), states[i]);
		EQUAL(get_option(fd[i], SOL_SOCKET, SO_ERROR), 0);
	}
	write_number("checked", 1);
	expect(fd[0], "last words");
	at_end(fd[0]);
	put(fd[0], "more");
	close(fd[0]);
	expect(fd[1], "answer");
	at_end(fd[1]);
	expect(fd[2], "answer");
	at_end(fd[3]);
	expect(fd[4], "crossed");
	at_end(fd[4]);
	CHECK(send(fd[4], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	at_end(fd[5]);
	put(fd[5], "still");
	await_state(fd[4], TCP_CLOSE);
	await_state(fd[3], TCP_CLOSE);
	close(fd[5]);
	pass();
}

int main(int argc, char **argv)
{
	CHECK(argc > 3);
	if (strcmp(argv[1], "server") == 0)
		server(argv[2]);
	client(argv[2], number_in(argv[3]));
}

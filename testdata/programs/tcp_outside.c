/*
 * tcp_outside server HOST - busy|full: accepts one connection, and sends and receives numbers all the time. It makes a file with its
 * port. It notices every number that is missing, repeated or out of order, and every error. It ends when the client sends no more.
 * tcp_outside client HOST FILE busy|full: the client. When there is a file go, it stops sending, and reads to the end. With "full", both
 * do not read until then, so that all queues are full.
 */
#include "inet.h"

#include <netinet/tcp.h>

/* A stream of numbers in one direction. */
struct numbers {
	uint64_t next;
	size_t have; /* how many bytes of the next number have been transferred */
	union {
		uint64_t number;
		char bytes[8];
	};
};

/* receive reads what has arrived. It returns 0 at the end of the stream. */
static int receive(int fd, struct numbers *in)
{
	for (;;) {
		ssize_t n = recv(fd, in->bytes + in->have, 8 - in->have, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return 1;
		CHECK(n >= 0);
		if (n == 0)
			return 0;
		in->have += n;
		if (in->have == 8) {
			EQUAL(in->number, in->next);
			in->next++;
			in->have = 0;
		}
	}
}

/* transmit sends up to count numbers. If all is true, it waits until the whole last number is sent. */
static void transmit(int fd, struct numbers *out, int count, int all)
{
	for (int i = 0; i < count || (all && out->have); i++) {
		ssize_t n;

		if (out->have == 0)
			out->number = out->next;
		n = send(fd, out->bytes + out->have, 8 - out->have, MSG_NOSIGNAL | (all ? 0 : MSG_DONTWAIT));
		if (n < 0 && errno == EAGAIN)
			return;
		CHECK(n > 0);
		out->have = (out->have + n) % 8;
		out->next += out->have == 0;
	}
}

int main(int argc, char **argv)
{
	struct numbers in = {0}, out = {0};
	uint64_t sent;
	int server, fd, told = 0, slow, segment = 0;
	char text[16] = "";

	CHECK(argc > 4);
	server = strcmp(argv[1], "server") == 0;
	fd = socket(family_of(argv[2]), SOCK_STREAM, 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0);
	if (server) {
		int listening = fd, file = open("port.new", O_WRONLY | O_CREAT, 0644);

		bind_to(listening, argv[2], 0);
		CHECK(listen(listening, 1) == 0);
		snprintf(text, sizeof text, "%d", own_port(listening));
		CHECK(write(file, text, strlen(text)) > 0 && close(file) == 0 && rename("port.new", "port") == 0);
		fd = accept(listening, 0, 0);
		CHECK(fd >= 0 && close(listening) == 0);
	} else {
		await_file(argv[3]);
		int file = open(argv[3], O_RDONLY);

		CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0 && close(file) == 0);
		join(fd, argv[2], atoi(text));
	}
	slow = strcmp(argv[4], "full") == 0;
	for (;;) {
		struct pollfd p = {fd, POLLIN | POLLOUT, 0};

		if (!server && !access("go", F_OK))
			break;
		CHECK(poll(&p, 1, 20000) >= 0);
		if ((!slow || in.next < 1000 || (server && told && !access("../client/go", F_OK))) && !receive(fd, &in))
			break;
		sent = out.next;
		transmit(fd, &out, slow ? 5000 : 50, 0);
		if (!told && in.next > 500 && (!slow || out.next == sent)) {
			segment = get_option(fd, SOL_TCP, TCP_MAXSEG);
			ready();
			told = 1;
		}
		pause_ms(1);
	}
	if (get_option(fd, SOL_TCP, TCP_MAXSEG) < segment)
		fail("the size of segments is %d, and was %d", get_option(fd, SOL_TCP, TCP_MAXSEG), segment);
	EQUAL(get_option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
	transmit(fd, &out, 0, 1);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	while (receive(fd, &in)) {
		struct pollfd p = {fd, POLLIN, 0};

		EQUAL(poll(&p, 1, 60000), 1);
	}
	EQUAL(in.have, 0);
	CHECK(in.next > 500 && out.next > 500);
	pass();
}
